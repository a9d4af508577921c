//! `ringway check`: is the configuration valid, and what would it do?

use super::exit::{Exit, Trouble};
use super::serve::no_secret;
use super::{Form, Global, print};
use crate::config::{Config, printed};
use crate::control::doors::CertificateView;
use crate::exposure::Reach;
use crate::listen::planned;
use crate::tls::{self, Inspected, TlsError, TlsSetup};
use clap::Args;
use std::fmt::Write;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::SystemTime;

/// What `check` takes.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Print an example file with all settings and their defaults instead
    #[arg(long, conflicts_with = "reference")]
    print_defaults: bool,
    /// Print the reference of all settings as Markdown instead
    #[arg(long)]
    reference: bool,
}

pub(crate) fn run(global: &Global, options: Options) -> Result<(), Trouble> {
    if options.print_defaults {
        return print(printed::example().as_bytes());
    }
    if options.reference {
        return print(printed::reference().as_bytes());
    }
    let config = global.load()?;
    let startup = config.startup().map_err(no_secret)?;
    let listeners = planned(&config.listen, config.advertise);
    let secure = listeners.iter().any(|listener| listener.transport.is_secure());
    let certificates = if secure { certificates(&config, &startup.tls)? } else { Vec::new() };
    if global.quiet {
        return Ok(());
    }
    let listen: Vec<_> = listeners.iter().map(|l| format!("{} {}", l.transport, l.local)).collect();
    let unproved = if secure { unproved(&config, &certificates) } else { Vec::new() };
    let open_to: Vec<_> = listeners.iter().map(|l| Reach::of(l).to_string()).collect();
    let (data, control) = (config.data.display(), config.control());
    let file = config.file.as_ref().map(|file| file.display().to_string());
    let text = match global.output {
        Form::Json => {
            let told = serde_json::json!({
                "valid": true,
                "file": file,
                "domains": config.domains,
                "listen": listen,
                "open_to": open_to,
                "certificates": certificates.iter().map(|(_, view)| view).collect::<Vec<_>>(),
                "without_certificate": unproved,
                "data": config.data,
                "control": control,
            });
            format!("{told}\n")
        }
        Form::Table => {
            let mut text = match file {
                Some(file) => format!("{file} is valid\n"),
                None => "no configuration file, and none is needed\n".to_owned(),
            };
            let domains = match config.domains.as_slice() {
                [] => "those of the accounts".to_owned(),
                some => format!("{}, and those of the accounts", some.join(", ")),
            };
            // Writing to memory cannot fail.
            let _ = writeln!(text, "domains  {domains}");
            for (at, (listener, open_to)) in listen.iter().zip(&open_to).enumerate() {
                let title = if at == 0 { "listen" } else { "" };
                let _ = writeln!(text, "{title:<8} {listener:<32} open to {open_to}");
            }
            for (at, (file, view)) in certificates.iter().enumerate() {
                let title = if at == 0 { "TLS" } else { "" };
                let domains = view.domains.join(" ");
                let _ = writeln!(text, "{title:<8} {file} for {domains}: {}", view.left);
            }
            for domain in &unproved {
                let _ = writeln!(text, "         none for {domain}: servers will not believe us");
            }
            if secure && certificates.is_empty() {
                let _ = writeln!(text, "TLS      a certificate is made at the first start");
            }
            let _ = writeln!(text, "data     {data}\ncontrol  {}", control.display());
            text
        }
    };
    print(text.as_bytes())
}

/// The certificates that would be shown, each with its file.
fn certificates(
    config: &Config,
    tls: &TlsSetup,
) -> Result<Vec<(String, CertificateView)>, Trouble> {
    let found = tls::inspect(tls, &config.data).map_err(|error| {
        let exit = match &error {
            TlsError::Io { cause, .. } if cause.kind() == ErrorKind::PermissionDenied => {
                Exit::Denied
            }
            _ => Exit::Config,
        };
        Trouble::new(exit, format!("error: [tls]: {error}"))
    })?;
    let now = SystemTime::now();
    let view = |found: &Inspected| {
        (found.file.display().to_string(), CertificateView::at(now, &found.said))
    };
    Ok(found.iter().map(view).collect())
}

/// The domains for which no certificate is. One of our own making is made anew for all of them.
fn unproved<'c>(config: &'c Config, certificates: &[(String, CertificateView)]) -> Vec<&'c str> {
    if config.tls.certificates.is_empty() {
        return Vec::new();
    }
    let proved = |domain: &&str| {
        let domain = domain.to_ascii_lowercase();
        certificates.iter().any(|(_, view)| view.domains.contains(&domain))
    };
    let named = config.domains.iter().map(String::as_str);
    named.filter(|name| name.parse::<IpAddr>().is_err() && !proved(name)).collect()
}
