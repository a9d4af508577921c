//! How big things may be (habit 17 of the style): small enough to be read at once.

use crate::Finding;
use crate::source::{Source, words};

const LINE: usize = 100;
const FILE: usize = 500;
const FILE_WITH_TESTS: usize = 800;
const FUNCTION: usize = 70;
const PARAMETERS: usize = 5;

pub(crate) fn lines(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let long = source.text.lines().enumerate().filter(|(_, line)| line.chars().count() > LINE);
    // What an RFC says is quoted as it stands there, in one line.
    let long = long.filter(|(_, line)| !line.trim_start().starts_with("// \""));
    let what = |line: &str| format!("a line of {} characters", line.chars().count());
    long.map(|(n, line)| Finding::new(source, n, what(line))).collect()
}

pub(crate) fn file(source: &Source) -> Vec<Finding> {
    let all = source.text.lines().count();
    let shipped = source.tests_from.min(all);
    if source.is_rust() && (shipped > FILE || all > FILE_WITH_TESTS) {
        return vec![Finding::new(source, 0, format!("{shipped} lines, {all} with tests"))];
    }
    Vec::new()
}

pub(crate) fn functions(source: &Source) -> Vec<Finding> {
    let long = functions_of(&source.code).into_iter().filter(|f| f.lines > FUNCTION);
    long.map(|f| Finding::new(source, f.line, format!("{} has {} lines", f.name, f.lines)))
        .collect()
}

pub(crate) fn parameters(source: &Source) -> Vec<Finding> {
    let many = functions_of(&source.code).into_iter().filter(|f| f.parameters > PARAMETERS);
    many.map(|f| Finding::new(source, f.line, format!("{} has {} of them", f.name, f.parameters)))
        .collect()
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
    parameters: usize,
}

/// All functions that have a name.
fn functions_of(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (start, word) in words(code) {
        if word != "fn" {
            continue;
        }
        // `fn(…)` is a type.
        let Some((at, name)) = words(&code[start + 2..]).next() else { continue };
        if code[start + 2..start + 2 + at].contains('(') {
            continue;
        }
        let after = start + 2 + at + name.len();
        let Some((parameters, end)) = parameter_list(&code[after..]) else { continue };
        let body = after + end;
        let line = code[..start].matches('\n').count();
        let last = body + body_length(&code[body..]);
        let lines = code[start..last].matches('\n').count() + 1;
        found.push(Function { name: name.to_owned(), line, lines, parameters });
    }
    found
}

/// Counts the parameters of what begins behind a name; `self` is none. The end of the list too.
fn parameter_list(text: &str) -> Option<(usize, usize)> {
    let open = generics_end(text)?;
    let (mut depth, mut angle) = (0, 0);
    let mut parts = vec![String::new()];
    let mut before = ' ';
    for (at, c) in text[open..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '<' => angle += 1,
            '>' if before != '-' && before != '=' => angle -= 1,
            ',' if depth == 1 && angle == 0 => {
                parts.push(String::new());
                before = c;
                continue;
            }
            _ => {}
        }
        before = c;
        if depth == 0 {
            return Some((count(&parts), open + at + 1));
        }
        if let (Some(part), true) = (parts.last_mut(), depth > 1 || c != '(') {
            part.push(c);
        }
    }
    None
}

fn count(parts: &[String]) -> usize {
    let is_self = |part: &str| {
        let name = part.split(':').next().unwrap_or_default();
        words(name).any(|(_, word)| word == "self")
    };
    parts.iter().filter(|part| !part.trim().is_empty() && !is_self(part)).count()
}

/// Where the `(` of a parameter list is, behind `<…>` if there is one.
fn generics_end(text: &str) -> Option<usize> {
    let mut angle = 0;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '<' => angle += 1,
            '>' if before != '-' => angle -= 1,
            '(' if angle == 0 => return Some(at),
            _ => {}
        }
        before = c;
    }
    None
}

/// The length of what stands behind a parameter list, up to the end of the body or the `;`.
fn body_length(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            ';' if depth == 0 => return at,
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => {
                depth -= 1;
                if depth == 0 && c == '}' {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tried;

    #[test]
    fn too_big_is_found() {
        let path = "crates/core/src/a.rs";
        let wide = format!("// {}", "x".repeat(98));
        tried(lines, path, &[&wide], &[&wide[..100], &format!("// \"{wide}\"")]);
        let long = "\n".repeat(501);
        let tested = format!("{}#[cfg(test)]\nmod tests {{{}}}", &long[1..], "\n".repeat(250));
        let over = format!("{}#[cfg(test)]\nmod tests {{{}}}", &long[1..], "\n".repeat(350));
        tried(file, path, &[&long, &over], &[&long[1..], &tested]);
        let long = |n| format!("const fn f<T: Fn(A) -> B>(x: T) -> [u8; 4] {{{}}}", "\n".repeat(n));
        tried(functions, path, &[&long(70)], &[&long(69), "trait T { fn f(&self); }"]);
        let six = "fn f(a: A, b: B<(C, D), E>, c: fn(F, G) -> H, d: [I; 2], e: J, f: K) {}";
        let five = "fn f<'a>(&'a mut self, a: A, (b, c): (B, C), d: D<E, F>, e: E, f: F,) {}";
        tried(parameters, path, &[six], &[five, "type F = fn(A, B, C, D, E, F);"]);
    }
}
