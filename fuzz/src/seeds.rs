//! What fuzzing starts from: the torture messages of RFC 4475 and RFC 5118, and scripts of whole
//! calls made from them.

use std::fs;
use std::io;
use std::path::Path;

/// Writes the seeds of all targets into folders of their names below `to`. Tells how many there
/// are.
///
/// # Errors
/// If a file cannot be read or written.
pub fn write(to: &Path) -> io::Result<usize> {
    let mut count = 0;
    let mut put = |target: &str, name: &str, bytes: &[u8]| {
        let folder = to.join(target);
        fs::create_dir_all(&folder)?;
        count += 1;
        fs::write(folder.join(name), bytes)
    };
    for (name, message) in messages()? {
        for choice in [0, 0xff] {
            let input = [&[choice], &message[..]].concat();
            put("datagram", &format!("{name}-{choice}"), &input)?;
        }
        put("stream", &name, &[b"\x05", &message[..]].concat())?;
        put(
            "stream",
            &format!("{name}-twice"),
            &[b"\x0b\r\n\r\n", &message[..], &message].concat(),
        )?;
        put("websocket", &name, &[&[0x26], &frame_of_client(0x81, &message)[..]].concat())?;
        let (one, other) = message.split_at(message.len() / 2);
        let pieces = [frame_of_client(0x02, one), frame_of_client(0x89, b"?")].concat();
        let pieces = [&[0x35], &pieces[..], &frame_of_client(0x80, other)].concat();
        put("websocket", &format!("{name}-pieces"), &pieces)?;
        for (nth, uri) in uris(&message).enumerate() {
            put("uri", &format!("{name}-{nth}"), &[&uri[..], b"\n", &uri].concat())?;
        }
        put("node", &format!("{name}-peer"), &[b"M\x00", &message[..], b"\x1eR0200"].concat())?;
        put("node", &format!("{name}-stranger"), &[b"M\x01", &message[..]].concat())?;
    }
    for (name, script) in scripts()? {
        put("node", &name, &script)?;
    }
    Ok(count)
}

/// A frame with a mask of zeros.
fn frame_of_client(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = match u16::try_from(payload.len()) {
        Ok(length @ 0..=125) => vec![first, 0x80 | length as u8],
        Ok(length) => [&[first, 0x80 | 126], &length.to_be_bytes()[..]].concat(),
        Err(_) => [&[first, 0x80 | 127], &(payload.len() as u64).to_be_bytes()[..]].concat(),
    };
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The names and bytes of all torture messages, in order of their names.
fn messages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut all = Vec::new();
    for part in ["rfc4475", "rfc5118"] {
        for entry in fs::read_dir(here().join("../crates/wire/tests/torture").join(part))? {
            let path = entry?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            all.push((name, fs::read(&path)?));
        }
    }
    all.sort();
    Ok(all)
}

/// What stands between angle brackets in a message.
fn uris(message: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let parts = message.split(|&b| b == b'<').skip(1);
    parts.filter_map(|part| Some(part.split(|&b| b == b'>').next()?.to_vec())).take(8)
}

/// The names of the scripts, and the scripts as the target reads them. In their files `#` begins
/// a comment, and `^` a record.
fn scripts() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(here().join("scripts"))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let records: Vec<String> = lines.join("\r\n").split('^').skip(1).map(record).collect();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        all.push((name, records.join("\x1e").into_bytes()));
    }
    all.sort();
    Ok(all)
}

/// What fits into one line is no message, and needs no line end.
fn record(text: &str) -> String {
    let bare = text.strip_suffix("\r\n").unwrap_or(text);
    if bare.contains("\r\n") { format!("{bare}\r\n") } else { bare.to_owned() }
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
