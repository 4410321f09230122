//! SIPp, a SIP load generator that knows nothing of us, with the scenarios in `tests/e2e/sipp/`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::port;
use crate::process::{Process, find};

/// Plays the called side of `scenario` on UDP for so many calls; gives its address, too.
pub(crate) fn answer(scenario: &str, calls: u32) -> (Process, SocketAddr) {
    answer_at(Ipv4Addr::LOCALHOST.into(), scenario, calls)
}

/// The same at an address of this machine.
pub(crate) fn answer_at(ip: IpAddr, scenario: &str, calls: u32) -> (Process, SocketAddr) {
    let local = SocketAddr::new(ip, port::free());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/sipp").join(scenario);
    let mut command = Command::new(find("sipp", "sip-tester"));
    command
        .arg("-sf")
        .arg(file)
        .args(["-m", &calls.to_string(), "-t", "u1", "-i", &ip.to_string()])
        .args(["-p", &local.port().to_string(), "-nostdin", "-timeout", "60s", "-timeout_error"]);
    (Process::start("sipp", &command), local)
}

/// Plays `scenario` against `target`: so many calls at so many per second, all of them good.
pub(crate) fn play(scenario: &str, transport: &str, calls: u32, rate: u32, target: SocketAddr) {
    play_with(scenario, transport, calls, rate, target, &[]);
}

/// Like [`play`] with further arguments of SIPp's.
pub(crate) fn play_with(
    scenario: &str,
    transport: &str,
    calls: u32,
    rate: u32,
    target: SocketAddr,
    arguments: &[&str],
) {
    let folder = TempDir::with_prefix("sipjab-sipp-").unwrap();
    let errors = folder.path().join("errors.log");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/sipp").join(scenario);
    let output = Command::new(find("sipp", "sip-tester"))
        .arg("-sf")
        .arg(file)
        .args(["-m", &calls.to_string(), "-r", &rate.to_string(), "-t", transport])
        .args(["-i", &target.ip().to_string(), "-p", &port::free().to_string(), "-nostdin"])
        .args(["-timeout", "60s", "-timeout_error", "-trace_err", "-error_file"])
        .arg(&errors)
        .args(arguments)
        .arg(target.to_string())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let errors = fs::read_to_string(errors).unwrap_or_default();
    assert!(output.status.success(), "SIPp {scenario} ended with {}: {errors}", output.status);
}
