//! Whether what arrived is what the script says.

use crate::scenario::script::{Detail, Step};
use crate::scenario::sip::Sip;

/// What is wrong with a message that arrived in place of the one a line describes.
pub(crate) fn difference(
    step: &Step,
    message: &Sip,
    previous: &[Sip],
    fill: &dyn Fn(&str) -> Result<String, String>,
) -> Option<String> {
    let line = first_line(step, message, fill);
    let again = || {
        let same = previous.iter().any(|old| old == message);
        match (step.says("again"), same) {
            (true, false) => Some("it differs from all that arrived before".to_owned()),
            (false, true) => {
                Some("it is a retransmission, and the line does not say `again`".into())
            }
            _ => None,
        }
    };
    let details = || {
        let wrong = step.details.iter().find_map(|detail| check(detail, message, fill));
        wrong.or_else(|| body(step, message, fill))
    };
    line.or_else(again).or_else(details)
}

fn first_line(
    step: &Step,
    message: &Sip,
    fill: &dyn Fn(&str) -> Result<String, String>,
) -> Option<String> {
    let mut words = step.words.iter().filter(|word| *word != "again");
    let wanted = words.next().map_or("", String::as_str);
    let got = message.status().map_or_else(|| message.method().to_owned(), |s| s.to_string());
    if wanted != got {
        return Some(format!("it is {got}, not {wanted}"));
    }
    let detail = fill(words.next()?);
    let is = if message.status().is_some() { message.method() } else { message.uri() };
    match detail {
        Ok(wanted) if wanted == is => None,
        Ok(wanted) => Some(format!("`{is}` stands where `{wanted}` should")),
        Err(mistake) => Some(mistake),
    }
}

fn check(
    detail: &Detail,
    message: &Sip,
    fill: &dyn Fn(&str) -> Result<String, String>,
) -> Option<String> {
    let filled = |text: &String| fill(text);
    let (name, ok, wish) = match detail {
        Detail::Body(_) => return None,
        Detail::Is(name, text) => {
            let text = match filled(text) {
                Ok(text) => text,
                Err(mistake) => return Some(mistake),
            };
            (name, message.joined(name) == text, format!("be `{text}`"))
        }
        Detail::Holds(name, text) | Detail::Lacks(name, text) => {
            let text = match filled(text) {
                Ok(text) => text,
                Err(mistake) => return Some(mistake),
            };
            let wants = matches!(detail, Detail::Holds(..));
            let verb = if wants { "hold" } else { "not hold" };
            let there = !message.all(name).is_empty() || !wants;
            let ok = there && message.joined(name).contains(&text) == wants;
            (name, ok, format!("{verb} `{text}`"))
        }
        Detail::Count(name, count) => {
            let got = message.all(name).len();
            (name, got == *count, format!("have {count} values, not {got}"))
        }
        Detail::There(name) => (name, !message.all(name).is_empty(), "be there".to_owned()),
        Detail::Without(name) => (name, message.all(name).is_empty(), "not be there".to_owned()),
    };
    (!ok).then(|| format!("{name} should {wish}; it is `{}`", message.joined(name)))
}

fn body(
    step: &Step,
    message: &Sip,
    fill: &dyn Fn(&str) -> Result<String, String>,
) -> Option<String> {
    match body_of(step, fill) {
        Ok(Some(body)) if body != message.body => {
            Some(format!("the body is\n{}\nand should be\n{body}", message.body))
        }
        Ok(_) => None,
        Err(mistake) => Some(mistake),
    }
}

/// The `|` lines below a line, each ended with CRLF.
pub(crate) fn body_of(
    step: &Step,
    fill: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Option<String>, String> {
    let mut body = None::<String>;
    for detail in &step.details {
        if let Detail::Body(line) = detail {
            let line = fill(line)?;
            let body = body.get_or_insert_default();
            body.push_str(&line);
            body.push_str("\r\n");
        }
    }
    Ok(body)
}
