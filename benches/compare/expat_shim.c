/*
 * Stands between Kamailio's xmpp module and expat (LD_PRELOAD).
 *
 * expat ends a start tag's attribute list with NULL. The module reads on until it meets an empty
 * string, and dies at the first stream header (kamailio#4154). Here its start handlers get a copy
 * of the list that ends with an empty string, and with NULL after it.
 */
#include <dlfcn.h>
#include <stdlib.h>

typedef struct XML_ParserStruct *XML_Parser;
typedef void (*XML_StartElementHandler)(void *user, const char *name, const char **atts);
typedef void (*XML_EndElementHandler)(void *user, const char *name);

enum { HANDLERS = 4, ATTRIBUTES = 128 };

static XML_StartElementHandler handlers[HANDLERS];

static void call(XML_StartElementHandler handler, void *user, const char *name, const char **atts)
{
	const char *list[2 * ATTRIBUTES + 3];
	int n = 0;

	for (; atts[n] && n < 2 * ATTRIBUTES; n++)
		list[n] = atts[n];
	list[n] = list[n + 1] = "";
	list[n + 2] = NULL;
	handler(user, name, list);
}

/* expat does not tell a handler which parser calls it, so each handler has its own stand-in */
#define STAND_IN(i) \
	static void stand_in_##i(void *user, const char *name, const char **atts) \
	{ \
		call(handlers[i], user, name, atts); \
	}
STAND_IN(0)
STAND_IN(1)
STAND_IN(2)
STAND_IN(3)

static const XML_StartElementHandler stand_ins[HANDLERS] = {
	stand_in_0, stand_in_1, stand_in_2, stand_in_3};

void XML_SetElementHandler(
		XML_Parser parser, XML_StartElementHandler start, XML_EndElementHandler end)
{
	static void (*set)(XML_Parser, XML_StartElementHandler, XML_EndElementHandler);
	int i = 0;

	/* Kamailio loads its modules out of sight of RTLD_NEXT */
	if (!set)
		*(void **)&set = dlsym(dlopen("libexpat.so.1", RTLD_LAZY), "XML_SetElementHandler");
	while (i < HANDLERS && handlers[i] && handlers[i] != start)
		i++;
	if (!set || i == HANDLERS)
		abort();
	handlers[i] = start;
	set(parser, stand_ins[i], end);
}
