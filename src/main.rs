//! The `sipjab` command.

fn main() -> std::process::ExitCode {
    sipjab::cli::main()
}
