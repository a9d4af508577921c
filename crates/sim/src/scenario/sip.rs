//! A SIP message as phones in scenarios see it: a first line, header fields and a body, as text.
//! Written apart from `wire` on purpose: what that gets wrong shall not be wrong here too.

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sip {
    /// The request or status line.
    pub first: String,
    /// Header fields in their order, folds undone.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Sip {
    /// Reads a message; bytes that are no UTF-8 are replaced.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        // RFC 3261 §7.5: line ends before a message mean nothing.
        let text = text.trim_start_matches(['\r', '\n']);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let first = lines.next()?.to_owned();
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                let last = headers.last_mut()?;
                last.1.push(' ');
                last.1.push_str(line.trim());
            } else {
                let (name, value) = line.split_once(':')?;
                headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
        Some(Self { first, headers, body: body.to_owned() })
    }

    /// The bytes; Content-Length is counted unless it was given.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.first);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.get("Content-Length").is_none() {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        text.push_str("\r\n");
        text.push_str(&self.body);
        text.into_bytes()
    }

    /// Whether it is a response.
    pub fn status(&self) -> Option<u16> {
        self.first.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The method of a request, or the one that a response answers.
    pub fn method(&self) -> &str {
        if self.status().is_some() {
            return self.get("CSeq").and_then(|v| v.split_whitespace().nth(1)).unwrap_or("");
        }
        self.first.split(' ').next().unwrap_or("")
    }

    /// The Request-URI.
    pub fn uri(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or("")
    }

    /// The number in CSeq.
    pub fn cseq(&self) -> u32 {
        let number = self.get("CSeq").and_then(|v| v.split_whitespace().next()?.parse().ok());
        number.unwrap_or(0)
    }

    /// The first field of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields(name).next()
    }

    fn fields<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s str> {
        let named = move |(n, _): &&(String, String)| same_name(n, name);
        self.headers.iter().filter(named).map(|(_, value)| value.as_str())
    }

    /// All values of this name; fields that are lists are taken apart.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let listed =
            ["Via", "Route", "Record-Route", "Contact", "Supported", "Unsupported", "Allow"];
        if !listed.iter().any(|listed| same_name(listed, name)) {
            return self.fields(name).collect();
        }
        self.fields(name).flat_map(split_list).collect()
    }

    /// The fields of this name, joined.
    pub fn joined(&self, name: &str) -> String {
        self.all(name).join(", ")
    }

    /// Adds a field at the end.
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        self.headers.push((name.to_owned(), value.into()));
    }

    /// Adds a field at the front.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        self.headers.insert(0, (name.to_owned(), value.into()));
    }

    /// Takes all fields of this name out.
    pub fn remove(&mut self, name: &str) {
        self.headers.retain(|(n, _)| !same_name(n, name));
    }

    /// Takes the first value of this name out.
    pub fn pop(&mut self, name: &str) {
        let rest: Vec<String> = self.all(name).iter().skip(1).map(|v| (*v).to_owned()).collect();
        let at = self.headers.iter().position(|(n, _)| same_name(n, name));
        self.remove(name);
        for value in rest.into_iter().rev() {
            let at = at.unwrap_or(0).min(self.headers.len());
            self.headers.insert(at, (name.to_owned(), value));
        }
    }

    /// Replaces the fields of this name by these, where the first one stood.
    pub fn replace(&mut self, name: &str, values: &[String]) {
        let at = self.headers.iter().position(|(n, _)| same_name(n, name));
        self.remove(name);
        let at = at.unwrap_or(self.headers.len()).min(self.headers.len());
        for value in values.iter().rev() {
            self.headers.insert(at, (name.to_owned(), value.clone()));
        }
    }

    /// The branch of the topmost Via.
    pub fn branch(&self) -> Option<String> {
        param(self.all("Via").first()?, "branch")
    }

    /// The tag in From or To.
    pub fn tag(&self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        param(&value[value.rfind('>').unwrap_or(0)..], "tag")
    }
}

/// The value of a `;name=value` parameter.
pub fn param(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|part| {
        let (n, v) = part.split_once('=').unwrap_or((part, ""));
        n.trim().eq_ignore_ascii_case(name).then(|| v.trim().to_owned())
    })
}

/// The URI inside `<…>`, or the value without its parameters.
pub fn uri_of(value: &str) -> &str {
    let inner = value.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or_else(|| value.split(';').next().unwrap_or("").trim(), |(uri, _)| uri)
}

fn same_name(a: &str, b: &str) -> bool {
    full_name(a).eq_ignore_ascii_case(full_name(b))
}

/// RFC 3261 §7.3.3.
fn full_name(name: &str) -> &str {
    match name {
        "v" => "Via",
        "f" => "From",
        "t" => "To",
        "i" => "Call-ID",
        "m" => "Contact",
        "l" => "Content-Length",
        "c" => "Content-Type",
        "k" => "Supported",
        "s" => "Subject",
        other => other,
    }
}

/// A list at its commas, but for those in quotes and in angle brackets.
fn split_list(value: &str) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut bracket, mut escaped) = (false, false, false);
    for (at, c) in value.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => bracket = true,
            '>' if !quoted => bracket = false,
            ',' if !quoted && !bracket => {
                parts.push(value[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(value[start..].trim());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] =
        b"INVITE sip:b@h SIP/2.0\r\nv: SIP/2.0/UDP a;branch=z1,\r\n SIP/2.0/UDP b\r\n\
        Contact: \"a, b\" <sip:x@y?h=1,2>, <sip:z>\r\nTo: <sip:b@h;tag=no>;tag=yes\r\n\
        CSeq: 7 INVITE\r\n\r\nbody";

    #[test]
    fn parts_are_found() {
        let sip = Sip::read(TEXT).expect("a message");
        assert_eq!(sip.all("Via"), ["SIP/2.0/UDP a;branch=z1", "SIP/2.0/UDP b"]);
        assert_eq!(sip.all("Contact"), ["\"a, b\" <sip:x@y?h=1,2>", "<sip:z>"]);
        assert_eq!((sip.branch().as_deref(), sip.cseq(), sip.method()), (Some("z1"), 7, "INVITE"));
        assert_eq!(sip.tag("To").as_deref(), Some("yes"));
        assert_eq!((sip.uri(), sip.body.as_str(), sip.status()), ("sip:b@h", "body", None));
        assert_eq!(uri_of(sip.all("Contact")[0]), "sip:x@y?h=1,2");
    }

    #[test]
    fn values_come_and_go() {
        let mut sip = Sip::read(TEXT).expect("a message");
        sip.pop("Via");
        assert_eq!(sip.all("Via"), ["SIP/2.0/UDP b"]);
        sip.push("Via", "SIP/2.0/TCP c");
        assert_eq!(sip.joined("Via"), "SIP/2.0/TCP c, SIP/2.0/UDP b");
        sip.replace("CSeq", &["8 INVITE".into()]);
        sip.remove("Contact");
        let text = String::from_utf8(sip.to_bytes()).expect("text");
        assert!(text.ends_with("CSeq: 8 INVITE\r\nContent-Length: 4\r\n\r\nbody"), "{text}");
    }
}
