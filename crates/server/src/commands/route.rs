//! `ringway route explain`: where a call would go, and why.

use crate::commands::table::visible;
use crate::commands::{Format, Screen};
use crate::control::views::{BranchView, RouteView};
use crate::control::{Failure, Far, Kind, Reply, Request};

/// Explains a call of `from` to `to`.
///
/// # Errors
/// If neither the server nor its data can be had. A call that would be refused is no error.
pub fn explain(
    far: &mut dyn Far,
    (from, to): (&str, &str),
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let mut route = None;
    let request = Request::ExplainRoute { from: from.into(), to: to.into() };
    far.ask(request, &mut |reply| {
        if let Reply::Route(told) = reply {
            route = Some(told);
        }
        Ok(())
    })?;
    let route = route.ok_or_else(|| Failure::new(Kind::Failed, "the server told nothing"))?;
    match screen.format() {
        Format::Json => screen.json(&route),
        Format::Table => write(&route, screen),
    }
}

fn write(route: &RouteView, screen: &mut Screen<'_>) -> Result<(), Failure> {
    for (at, step) in route.steps.iter().enumerate() {
        screen.line(&format!("{:2} {:<10} {}", at + 1, step.step, visible(&step.found)))?;
    }
    for (at, group) in route.groups.iter().enumerate() {
        let time = match group.timeout_s {
            0 => String::new(),
            seconds => format!(", for {seconds} s"),
        };
        let substitute = if group.is_substitute { ", if nobody was reached" } else { "" };
        screen.line(&format!("group {}{time}{substitute}", at + 1))?;
        for branch in &group.branches {
            screen.line(&format!("   {}", line(branch)))?;
        }
    }
    if let Some(redirect) = &route.redirect {
        for contact in &redirect.contacts {
            screen.line(&format!("   {}", visible(contact)))?;
        }
        let status = redirect.status;
        return screen.line(&format!("RESULT: told with {status} to ask there"));
    }
    let branches: usize = route.groups.iter().map(|group| group.branches.len()).sum();
    match &route.refusal {
        Some(refusal) => {
            screen.line(&format!("RESULT: refused with {} ({})", refusal.status, refusal.reason))
        }
        None if branches == 1 => screen.line("RESULT: would try one place"),
        None => screen.line(&format!("RESULT: would try {branches} places")),
    }
}

fn line(branch: &BranchView) -> String {
    let mut line = visible(&branch.target);
    match (&branch.transport, branch.remote) {
        (Some(transport), Some(remote)) => line += &format!(" over {transport} to {remote}"),
        (Some(transport), None) => line += &format!(" over {transport} after a look-up"),
        (None, _) => line += " after a look-up",
    }
    let rule = branch.rule.replace('_', " ");
    match branch.q {
        Some(q) => line + &format!("  [{rule}, q={}.{:03}]", q / 1000, q % 1000),
        None => line + &format!("  [{rule}]"),
    }
}
