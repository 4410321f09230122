run_as_root = true
data_path = "@HOME@/data"
pidfile = "@HOME@/prosody.pid"
certificates = "@HOME@"
log = { info = "*stdout" }
interfaces = { "127.0.0.1" }
component_interfaces = { "127.0.0.1" }
c2s_ports = { @XMPP_PORT@ }
component_ports = { @COMPONENT_PORT@ }
authentication = "internal_plain"
storage = "internal"
modules_enabled = { "roster", "saslauth", "tls", "disco", "ping" }
modules_disabled = { "s2s" }

VirtualHost "xmpp.example"
	ssl = { key = "@HOME@/key.pem", certificate = "@HOME@/certificate.pem" }

Component "sip.example"
	component_secret = "secret"
