-- What Prosody 0.13 does by itself: SCRAM that is bound to a connection with TLS 1.3 (RFC 9266).
local knows_the_connection = module:get_option_boolean("knows_the_connection", true);

module:hook("stream-features", function (event)
	local origin, features = event.origin, event.features;
	local handler = origin.sasl_handler;
	if origin.type ~= "c2s_unauthed" or not origin.secure or not handler then return; end
	local socket = origin.conn:socket();
	handler:add_cb_handler("tls-exporter", function ()
		local label = knows_the_connection and "EXPORTER-Channel-Binding" or "EXPORTER-Another";
		return socket:exportkeyingmaterial(label, 32, "");
	end);
	local mechanisms = features:get_child("mechanisms", "urn:ietf:params:xml:ns:xmpp-sasl");
	mechanisms:tag("mechanism"):text("SCRAM-SHA-256-PLUS"):up();
end, -1);

module:hook("authentication-success", function (event)
	local handler = event.session.sasl_handler;
	local binding = handler.state and handler.state.gs2_cbind_name or "nothing";
	module:log("info", "logged in with %s %s", handler.selected, binding);
end);
