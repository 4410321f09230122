run_as_root = true
data_path = "@FOLDER@/data"
pidfile = "@FOLDER@/prosody.pid"
certificates = "@FOLDER@"
log = { info = "*stdout" }
interfaces = { "127.0.0.1" }
component_interfaces = { "127.0.0.1" }
c2s_ports = { @CLIENT_PORT@ }
component_ports = { @COMPONENT_PORT@ }
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
storage = "internal"
modules_enabled = { "roster", "saslauth", "disco", "ping", "smacks", "carbons", "csi_simple" }
modules_disabled = { "s2s", "tls", "offline" }

VirtualHost "@DOMAIN@"

Component "@COMPONENT@"
	component_secret = "@SECRET@"

Component "conference.@DOMAIN@" "muc"
