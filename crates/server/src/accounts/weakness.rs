//! Which passwords are too easy. Who has heard one digest exchange may try passwords at home,
//! a billion a second; what stops that is length that is not made of guessable pieces.

use ringway_core::address_of_record::AddressOfRecord;
use std::collections::HashSet;
use std::fmt;
use std::sync::LazyLock;

/// The least length. Twelve random letters and digits are 71 bits, which take decades.
pub const LEAST: usize = 12;
/// So much must be left when each guessable piece counts as one letter.
const LEAST_LEFT: usize = 9;
/// With fewer different characters than this, length says little.
const LEAST_DIFFERENT: usize = 5;

/// Why a password is too easy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Weakness {
    /// Shorter than [`LEAST`].
    Short,
    /// Nothing but digits.
    Digits,
    /// Little more than the name of the user or the domain.
    Name,
    /// Little more than words that everybody tries first.
    Common,
    /// Repeated, a sequence, or neighbours on the keyboard.
    Pattern,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => write!(f, "it has fewer than {LEAST} characters"),
            Self::Digits => f.write_str("it has nothing but digits"),
            Self::Name => f.write_str("it is little more than the name of the account"),
            Self::Common => f.write_str("it is little more than words that are tried first"),
            Self::Pattern => f.write_str("it repeats itself, or follows the keyboard or alphabet"),
        }
    }
}

/// Why this is a weak password for this account; `None` if it is not.
pub fn weakness(password: &str, account: &AddressOfRecord) -> Option<Weakness> {
    let length = password.chars().count();
    if length < LEAST {
        return Some(Weakness::Short);
    }
    if password.chars().all(|c| c.is_numeric() || " -.+/*#".contains(c)) {
        return Some(Weakness::Digits);
    }
    let text: Vec<u8> = password.chars().map(plain).collect();
    let mut different = text.clone();
    different.sort_unstable();
    different.dedup();
    if different.len() < LEAST_DIFFERENT || repeats(&text) {
        return Some(Weakness::Pattern);
    }
    let (left, worst) = collapse(&text, &Names::of(account));
    (left < LEAST_LEFT).then_some(worst.unwrap_or(Weakness::Pattern))
}

/// One byte for each character, so that places can be counted: small ASCII letters as they are.
fn plain(c: char) -> u8 {
    match u8::try_from(c) {
        Ok(byte) if byte.is_ascii() => byte.to_ascii_lowercase(),
        // No word or sequence here has them; which one it is only matters for being different.
        _ => 0x80 | (u32::from(c) & 0x7f) as u8,
    }
}

/// Whether the whole is a shorter piece again and again.
fn repeats(text: &[u8]) -> bool {
    (1..=text.len() / 2).any(|period| text.iter().zip(&text[period..]).all(|(a, b)| a == b))
}

/// How long the text is if each guessable piece counts as one character, and of the kinds of
/// piece in it the one that says the most.
fn collapse(text: &[u8], names: &Names) -> (usize, Option<Weakness>) {
    let folded: Vec<u8> = text.iter().copied().map(fold).collect();
    let (mut at, mut left) = (0, 0);
    let mut found =
        [(Weakness::Name, false), (Weakness::Common, false), (Weakness::Pattern, false)];
    while at < text.len() {
        let lengths = [names.at(&folded[at..]), word_at(&folded[at..]), pattern_at(&text[at..])];
        let longest = lengths.iter().copied().max().unwrap_or(0);
        if let Some(kind) = lengths.iter().position(|length| *length == longest && longest > 1) {
            found[kind].1 = true;
        }
        at += longest.max(1);
        left += 1;
    }
    (left, found.iter().find(|(_, found)| *found).map(|(kind, _)| *kind))
}

/// The usual disguises of letters undone; l, i and 1 are one, as they are to the eye.
const fn fold(byte: u8) -> u8 {
    match byte {
        b'0' => b'o',
        b'1' | b'l' | b'!' | b'|' => b'i',
        b'3' => b'e',
        b'4' | b'@' => b'a',
        b'5' | b'$' => b's',
        b'7' | b'+' => b't',
        b'8' => b'b',
        other => other,
    }
}

/// What an account is called: the user, and the labels of the domain.
struct Names(Vec<Vec<u8>>);

impl Names {
    fn of(account: &AddressOfRecord) -> Self {
        let labels = account.domain().split(|byte| *byte == b'.');
        let all = labels.chain([account.user(), account.domain()]);
        let known = all.filter(|name| name.len() >= 3);
        Self(
            known.map(|name| name.iter().map(|b| fold(b.to_ascii_lowercase())).collect()).collect(),
        )
    }

    /// The length of the longest one that stands here.
    fn at(&self, text: &[u8]) -> usize {
        let here = self.0.iter().filter(|name| text.starts_with(name));
        here.map(Vec::len).max().unwrap_or(0)
    }
}

fn word_at(text: &[u8]) -> usize {
    let longest = WORDS.longest.min(text.len());
    (3..=longest).rev().find(|length| WORDS.all.contains(&text[..*length])).unwrap_or(0)
}

/// The length of the run of equal, ascending, descending or neighbouring characters that stands
/// here, or of a year; 0 if it is shorter than three.
fn pattern_at(text: &[u8]) -> usize {
    let run = |step: &dyn Fn(u8, u8) -> bool| {
        1 + text.windows(2).take_while(|pair| step(pair[0], pair[1])).count()
    };
    let alike = |a: u8, b: u8| a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric();
    let longest = [
        run(&|a, b| a == b),
        run(&|a, b| alike(a, b) && b == a.wrapping_add(1)),
        run(&|a, b| alike(a, b) && a == b.wrapping_add(1)),
        run(&|a, b| neighbours(a, b)),
        run(&|a, b| neighbours(b, a)),
        if is_year(text) { 4 } else { 0 },
    ];
    longest.into_iter().max().filter(|length| *length >= 3).unwrap_or(0)
}

/// Whether the second key is right of the first.
fn neighbours(a: u8, b: u8) -> bool {
    ["1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop"]
        .iter()
        .any(|row| row.as_bytes().windows(2).any(|pair| pair == [a, b]))
}

fn is_year(text: &[u8]) -> bool {
    let digits = text.len() >= 4 && text[..4].iter().all(u8::is_ascii_digit);
    digits && matches!(&text[..2], b"19" | b"20")
}

struct Words {
    all: HashSet<Vec<u8>>,
    longest: usize,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let all: HashSet<Vec<u8>> =
        COMMON.split_whitespace().map(|word| word.bytes().map(fold).collect()).collect();
    let longest = all.iter().map(Vec::len).max().unwrap_or(0);
    Words { all, longest }
});

/// What is tried first: the heads of every list of leaked passwords, and what phones and
/// telephone systems are delivered with.
const COMMON: &str = "
    password passwort passwd pass pwd passphrase kennwort matkhau contrasena secret geheim
    admin administrator root user guest test tester testing demo default changeme change
    welcome willkommen letmein login access enter open sesame master super manager operator
    supervisor system server service support public private office home company business
    phone telephone telefon handset voip sip pbx asterisk freeswitch freepbx kamailio opensips
    ringway yealink grandstream polycom cisco snom fanvil linksys avaya mitel panasonic
    gigaset extension account register proxy trunk voice voicemail call calls
    dragon monkey tiger lion bear wolf eagle horse rabbit chicken butterfly dolphin pony
    sunshine moonlight rainbow flower summer winter spring autumn january february march
    april june july august september october november december monday tuesday wednesday
    thursday friday saturday sunday
    football soccer baseball basketball hockey golf tennis superman batman spiderman pokemon
    starwars matrix ninja samurai shadow phoenix diamond silver golden gold jordan michael
    jessica jennifer ashley daniel charlie andrew thomas robert george william matthew joshua
    anthony nicole hunter ranger buster harley ginger pepper cookie cheese banana orange apple
    chocolate coffee princess queen king prince angel heaven jesus christ loveme iloveyou love
    lovely baby babygirl sweet sexy hello hallo bonjour world whatever nothing trustno trust
    freedom liberty america canada london paris berlin vietnam hanoi saigon china india
    computer internet network windows microsoft google facebook linux ubuntu debian samsung
    iphone android qwerty qwertz azerty qazwsx zaqwsx abc xyz";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(password: &str) -> Option<Weakness> {
        let alice = AddressOfRecord::from_text("alice@pbx.acme-telecom.vn").expect("a name");
        weakness(password, &alice)
    }

    #[test]
    fn c13_weak_ones_and_why() {
        for (password, why) in [
            ("", Weakness::Short),
            ("1234", Weakness::Short),
            ("k7mPq2xW9zR", Weakness::Short),
            ("Nguyễn Thị ", Weakness::Short),
            ("839271048265", Weakness::Digits),
            ("0903-123-456-789", Weakness::Digits),
            ("alicealicealice", Weakness::Pattern),
            ("Alice-12345678", Weakness::Name),
            ("alice@pbx.acme-telecom.vn", Weakness::Name),
            ("acme-telecom-77x", Weakness::Name),
            ("4l1c3-4l1c3-x9", Weakness::Name),
            ("Password1234!", Weakness::Common),
            ("P@ssw0rdP@ssw0rd!", Weakness::Common),
            ("s3cr3tp4ssw0rd", Weakness::Common),
            ("changeme-changeme-1", Weakness::Common),
            ("Summer2026!!!", Weakness::Common),
            ("yealink-admin-99", Weakness::Common),
            ("Matkhau@123456", Weakness::Common),
            ("aaaaaaaaaaaaaaaa", Weakness::Pattern),
            ("abcabcabcabcabc", Weakness::Pattern),
            ("k7x2k7x2k7x2k7x2", Weakness::Pattern),
            ("abcdefghijklmnop", Weakness::Pattern),
            ("zyxwvutsrqponm", Weakness::Pattern),
            ("qwertyuiopasdfghjkl", Weakness::Pattern),
            ("1qaaaaaaaaaaaaaa9", Weakness::Pattern),
            ("ababab12121212a", Weakness::Pattern),
            ("1999200020012002x", Weakness::Pattern),
        ] {
            assert_eq!(of(password), Some(why), "{password}");
        }
    }

    #[test]
    fn strong_ones() {
        for password in [
            "k7mPq2xW9zRt",
            "correct horse battery staple",
            "mùa-đông-lạnh-ở-đà-lạt",
            "x9-alice-v2kq8mz4",
            "Tr0ub4dor&3-elm",
            "sch0oner.gimlet.47",
        ] {
            assert_eq!(of(password), None, "{password}");
        }
        for _ in 0..200 {
            let made = crate::accounts::password::Password::generate().expect("randomness");
            assert_eq!(of(made.reveal()), None, "what we make ourselves is good");
        }
    }

    #[test]
    fn random_passwords_of_the_least_length_are_hardly_ever_refused() {
        let mut refused = 0;
        for _ in 0..2_000 {
            let made = crate::accounts::password::Password::generate().expect("randomness");
            refused += usize::from(of(&made.reveal()[..LEAST]).is_some());
        }
        assert!(refused < 20, "{refused} of 2,000");
    }
}
