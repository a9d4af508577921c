//! What phones write, from lines `TIME NAME -> proxy …`.

use crate::scenario::digest::Challenge;
use crate::scenario::expect::body_of;
use crate::scenario::phone::Phone;
use crate::scenario::script::{Detail, Step};
use crate::scenario::sip::Sip;
use crate::scenario::stage::Stage;
use ringway_core::flow::Flow;

impl Stage {
    /// Plays a line in which a phone sends.
    pub(crate) fn play_send(&mut self, name: &str, step: &Step) -> Result<(), String> {
        let phone = self.phone(name);
        let what = step.words[0].as_str();
        if what == "raw" {
            let fill = |text: &str| self.fill(text);
            let text = body_of(step, &fill)?.ok_or("`raw` needs lines with `|`")?;
            self.transmit(phone, None, text.as_bytes());
            return Ok(());
        }
        if what == "stun" {
            let id = *b"a-stun-probe";
            let probe = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42], &id[..]].concat();
            self.transmit(phone, None, &probe);
            return Ok(());
        }
        if step.says("again") {
            return self.send_again(phone, what);
        }
        let (mut message, flow, call) = self.compose(phone, step)?;
        self.apply(step, &mut message)?;
        let (is_request, method) = (message.status().is_none(), message.method().to_owned());
        if is_request && method != "ACK" && method != "CANCEL" {
            self.add_credentials(phone, &mut message, step)?;
        }
        let flow = flow.filter(|_| !is_request);
        let sent = self.send(phone, flow, message);
        if let (true, Some(call)) = (is_request, call) {
            self.note_request(phone, call, (&method, sent));
        }
        Ok(())
    }

    fn note_request(&mut self, phone: usize, call: usize, (method, sent): (&str, usize)) {
        let call = &mut self.phones[phone].calls[call];
        if method != "ACK" && method != "CANCEL" {
            call.last_request = Some(sent);
        }
        if method == "INVITE" {
            call.invite = Some(sent);
            call.final_response = None;
        }
    }

    fn compose(
        &mut self,
        phone: usize,
        step: &Step,
    ) -> Result<(Sip, Option<Flow>, Option<usize>), String> {
        let what = step.words[0].as_str();
        let argument = step.words.get(1).map(|word| self.fill(word)).transpose()?;
        let argument = argument.filter(|word| word != "auth").map(|word| bare(&word).to_owned());
        let label = step.option("call");
        let speaker = &mut self.phones[phone];
        if what == "forward" || what == "back" {
            return speaker.pass_on(what == "back", argument.as_deref());
        }
        if let Ok(status) = what.parse::<u16>() {
            let call = speaker.call(label)?;
            let (message, flow) = speaker.response(call, (status, argument.as_deref()))?;
            return Ok((message, Some(flow), None));
        }
        if what == "REGISTER" {
            let (message, call) = speaker.register(argument.as_deref(), step);
            return Ok((message, None, Some(call)));
        }
        let known = label.is_some_and(|label| speaker.calls.iter().any(|c| c.label == label));
        let call = match &argument {
            Some(uri) if !step.says("auth") && !known => {
                speaker.new_call(label.unwrap_or_default(), uri)
            }
            _ => speaker.call(label)?,
        };
        if let Some(with) = step.option("with") {
            speaker.speak_with(call, with)?;
        }
        let message = match what {
            "ACK" => speaker.ack(call)?,
            "CANCEL" => speaker.like_invite(call, "CANCEL")?,
            _ => speaker.request(call, what, argument.as_deref()),
        };
        if message.uri().is_empty() {
            return Err(format!("{what} has no Request-URI: there is no dialog yet"));
        }
        let overridden = |d: &Detail| matches!(d, Detail::Is(name, _) if name == "Route");
        if let (Some(route), false) =
            (message.all("Route").first(), step.details.iter().any(overridden))
            && !speaker.reaches(route)
        {
            return Err(format!("{} cannot send to its first Route, {route}", speaker.name));
        }
        Ok((message, None, Some(call)))
    }

    /// Puts the details of the line into the message.
    fn apply(&self, step: &Step, message: &mut Sip) -> Result<(), String> {
        let mut set: Vec<&str> = Vec::new();
        for detail in &step.details {
            match detail {
                Detail::Is(name, value) => {
                    let value = self.fill(value)?;
                    if set.contains(&name.as_str()) {
                        message.add(name, value);
                    } else {
                        message.replace(name, &[value]);
                        set.push(name);
                    }
                }
                Detail::Without(name) => message.remove(name),
                _ => {}
            }
        }
        if let Some(body) = body_of(step, &|text| self.fill(text))? {
            if message.get("Content-Type").is_none() {
                message.add("Content-Type", "application/sdp");
            }
            message.body = body;
        }
        Ok(())
    }

    /// Credentials for the last challenge, if there was one and the phone may answer it.
    fn add_credentials(
        &mut self,
        phone: usize,
        message: &mut Sip,
        step: &Step,
    ) -> Result<(), String> {
        let nc = step.option("nc").map(|nc| nc.parse().map_err(|_| "nc is a number"));
        let nc: Option<u32> = nc.transpose()?;
        let algorithm = step.option("algorithm");
        let by_hand = step.says("auth");
        let phone = &mut self.phones[phone];
        // Inside a dialog the signed route set speaks for the phone.
        if !by_hand && (!phone.answers_challenges || message.tag("To").is_some()) {
            return Ok(());
        }
        if let Some(algorithm) = algorithm {
            phone.choose(algorithm)?;
        }
        let password = step.option("password").unwrap_or(&phone.password).to_owned();
        let user = step.option("username").unwrap_or(phone.user()).to_owned();
        let uri = step.option("uri").unwrap_or(message.uri()).to_owned();
        let method = message.method().to_owned();
        let Some(challenge) = &mut phone.challenge else {
            return if by_hand { Err("there was no challenge yet".into()) } else { Ok(()) };
        };
        let nc = nc.unwrap_or(challenge.used + 1);
        challenge.used = nc;
        let header = if method == "REGISTER" { "Authorization" } else { "Proxy-Authorization" };
        let header = if by_hand { challenge.header } else { header };
        let answer = challenge.answer((&user, &password), (&method, &uri), nc);
        challenge.remove_answers(header, message);
        message.add(header, answer.ok_or("an algorithm nobody knows")?);
        Ok(())
    }

    /// Answers a challenge as a phone does by itself; `false` if it cannot or may not.
    pub(crate) fn answer_challenge(&mut self, phone: usize, response: &Sip) -> bool {
        let speaker = &mut self.phones[phone];
        speaker.note_challenge(response);
        if !speaker.answers_challenges || speaker.challenge.is_none() {
            return false;
        }
        let branch = response.branch();
        let asked = speaker.sent.iter().rposition(|sent| sent.message.branch() == branch);
        let Some(asked) = asked else { return false };
        let Some(challenge) = &mut speaker.challenge else { return false };
        let mut again = speaker.sent[asked].message.clone();
        if again.get(challenge.header).is_some() && !challenge.stale {
            return false;
        }
        let id = again.get("Call-ID").unwrap_or("").to_owned();
        let Some(call) = speaker.calls.iter().rposition(|call| call.id == id) else { return false };
        challenge.used += 1;
        let (method, uri) = (again.method().to_owned(), again.uri().to_owned());
        let (header, nc) = (challenge.header, challenge.used);
        let user = speaker.aor.split('@').next().unwrap_or("");
        let answer = challenge.answer((user, &speaker.password), (&method, &uri), nc);
        let Some(answer) = answer else { return false };
        challenge.remove_answers(header, &mut again);
        again.add(header, answer);
        if method == "INVITE" {
            let ack = speaker.ack(call);
            if let Ok(ack) = ack {
                self.send(phone, None, ack);
            }
        }
        let speaker = &mut self.phones[phone];
        let branch = speaker.fresh("z9hG4bK");
        let via = speaker.via(&branch);
        again.pop("Via");
        again.push("Via", via);
        speaker.calls[call].cseq += 1;
        again.replace("CSeq", &[format!("{} {method}", speaker.calls[call].cseq)]);
        let sent = self.send(phone, None, again);
        self.note_request(phone, call, (&method, sent));
        true
    }

    /// The same bytes once more.
    fn send_again(&mut self, phone: usize, what: &str) -> Result<(), String> {
        let is_it = |message: &Sip| {
            let status = message.status().map(|status| status.to_string());
            status.map_or_else(|| message.method() == what, |status| status == what)
        };
        let sent = self.phones[phone].sent.iter().rev().find(|sent| is_it(&sent.message));
        let sent = sent.ok_or_else(|| format!("no {what} was sent before"))?;
        let (flow, bytes) = (sent.flow, sent.bytes.clone());
        self.transmit(phone, flow, &bytes);
        Ok(())
    }
}

/// A URI that was copied out of a header with its `<>`.
fn bare(word: &str) -> &str {
    word.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(word)
}

impl Phone {
    pub(crate) fn user(&self) -> &str {
        self.aor.split('@').next().unwrap_or("")
    }

    /// A REGISTER, to the domain of the account, all with one Call-ID.
    pub(crate) fn register(&mut self, uri: Option<&str>, step: &Step) -> (Sip, usize) {
        let domain = self.aor.split('@').nth(1).unwrap_or("").to_owned();
        let aor = step.option("user").unwrap_or(&self.aor).to_owned();
        let known = self.calls.iter().rposition(|call| call.label == "REGISTER");
        let call = known.unwrap_or_else(|| self.new_call("REGISTER", &format!("sip:{aor}")));
        let target = uri.map_or_else(|| format!("sip:{domain}"), str::to_owned);
        let contact = step.option("contact").map_or_else(|| self.contact(), str::to_owned);
        let mut sip = self.request(call, "REGISTER", Some(&target));
        let mut value = format!("<{contact}>");
        for name in ["q", "expires"] {
            if let Some(given) = step.option(name) {
                value.push_str(&format!(";{name}={given}"));
            }
        }
        sip.replace("Contact", &[value]);
        (sip, call)
    }

    /// Whether a Route is a listener of the server's that this phone can send to.
    fn reaches(&self, route: &str) -> bool {
        let says = |name: &str| route.to_ascii_lowercase().contains(&format!("transport={name}"));
        let its = match self.transport.is_reliable() {
            true => says(self.transport.uri_name()),
            false => !says("tcp") && !says("ws"),
        };
        its && route.contains(&self.proxy.to_string())
    }

    /// Chooses the dialog with this phone.
    fn speak_with(&mut self, call: usize, name: &str) -> Result<(), String> {
        let dialogs = &mut self.calls[call].dialogs;
        let start = format!("tag-{name}-");
        let at = dialogs.iter().position(|dialog| dialog.remote_tag.starts_with(&start));
        let dialog = dialogs.remove(at.ok_or_else(|| format!("no dialog with {name}"))?);
        dialogs.push(dialog);
        Ok(())
    }

    /// Notes the first challenge that this phone can answer: for its own realm, if it was ever
    /// asked for that.
    pub(crate) fn note_challenge(&mut self, response: &Sip) {
        let headers = if response.status() == Some(401) {
            ("WWW-Authenticate", "Authorization")
        } else {
            ("Proxy-Authenticate", "Proxy-Authorization")
        };
        let can = |challenge: &Challenge| {
            self.algorithms.is_empty() || self.algorithms.contains(&challenge.algorithm)
        };
        let all = response.all(headers.0).into_iter();
        let all: Vec<_> =
            all.filter_map(|value| Challenge::read(headers.1, value)).filter(can).collect();
        let own = |challenge: &&Challenge| self.aor.ends_with(&format!("@{}", challenge.realm));
        let first = all.iter().find(own).cloned();
        self.challenge = first.or(self.challenge.take()).or_else(|| all.first().cloned());
    }

    /// Takes the challenge for another algorithm out of the last response.
    fn choose(&mut self, algorithm: &str) -> Result<(), String> {
        let used = self.challenge.as_ref().map_or(0, |challenge| challenge.used);
        let challenged = |sip: &&Sip| matches!(sip.status(), Some(401 | 407));
        let last = self.received.iter().rev().find(challenged).ok_or("there was no challenge")?;
        let (asks, answers) = match last.status() {
            Some(401) => ("WWW-Authenticate", "Authorization"),
            _ => ("Proxy-Authenticate", "Proxy-Authorization"),
        };
        let all = last.all(asks).into_iter().filter_map(|v| Challenge::read(answers, v));
        let found = all.into_iter().find(|challenge| challenge.algorithm == algorithm);
        let found = found.ok_or_else(|| format!("no challenge for {algorithm}"))?;
        self.challenge = Some(Challenge { used, ..found });
        Ok(())
    }

    /// Does what another proxy does: sends the last request on with a Via of its own, or the
    /// last response back without it.
    fn pass_on(
        &mut self,
        back: bool,
        uri: Option<&str>,
    ) -> Result<(Sip, Option<Flow>, Option<usize>), String> {
        let wanted = |sip: &&Sip| sip.status().is_some() == back;
        let mut sip =
            self.received.iter().rev().find(wanted).ok_or("nothing can be passed on")?.clone();
        if back {
            sip.pop("Via");
            // Whoever sent the request is found by what it wrote into it.
            let id = sip.get("Call-ID").unwrap_or("");
            let (method, branch) = (sip.method().to_owned(), sip.branch());
            let call = self.calls.iter().find(|call| call.id == id).ok_or("an unknown call")?;
            let asked = call.requests.iter().rev().find(|request| {
                request.message.method() == method && request.message.branch() == branch
            });
            let flow = asked.ok_or("nobody waits for this response")?.flow;
            return Ok((sip, Some(flow), None));
        }
        let own = self.address.to_string();
        if sip.all("Route").first().is_some_and(|route| route.contains(&own)) {
            sip.pop("Route");
        }
        let branch = self.fresh("z9hG4bK");
        let via = self.via(&branch);
        sip.push("Via", via);
        let hops = sip.get("Max-Forwards").and_then(|hops| hops.parse::<u32>().ok()).unwrap_or(70);
        sip.replace("Max-Forwards", &[hops.saturating_sub(1).to_string()]);
        if let Some(uri) = uri {
            sip.first = format!("{} {uri} SIP/2.0", sip.method());
        }
        let id = sip.get("Call-ID").unwrap_or("");
        let call = self.calls.iter().position(|call| call.id == id);
        Ok((sip, None, call))
    }
}
