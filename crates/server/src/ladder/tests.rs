use super::*;

const ASCII: Style = Style { unicode: false, colour: false };
const UNICODE: Style = Style { unicode: true, colour: false };

fn draw(style: Style, width: usize, of: impl FnOnce(&mut Ladder<'_>)) -> String {
    let mut out = Vec::new();
    of(&mut Ladder::new(&mut out, style, width));
    String::from_utf8(out).expect("text")
}

fn lanes(names: &[&str]) -> Vec<Lane> {
    let lane = |name: &&str| Lane { name: (*name).into(), detail: format!("udp {name}:1") };
    names.iter().map(lane).collect()
}

fn arrow(from: usize, to: usize, label: &str) -> Arrow<'_> {
    Arrow { from, to, label, tone: Tone::Strong, double: false }
}

fn ladder(style: Style) -> String {
    draw(style, 80, |ladder| {
        let lane = |name: &str, detail: &str| Lane { name: name.into(), detail: detail.into() };
        let lanes = [
            lane("alice", "udp 127.0.0.1:1"),
            lane("ringway", "x"),
            lane("bob", "tcp [::1]:54321"),
        ];
        ladder.lanes(&lanes).expect("memory");
        ladder.part("A call", "(times from the first message)").expect("memory");
        let long = "407 Proxy Authentication Required";
        for (at, arrow) in [
            (5, arrow(0, 1, "INVITE + digest")),
            (845, arrow(1, 0, long)),
            (12_350, arrow(1, 2, "INVITE")),
            (1_234_565, arrow(2, 1, "180 Ringing (again)")),
            (5, Arrow { double: true, ..arrow(0, 2, "RTP + 75 packets sent") }),
            (5, Arrow { double: true, ..arrow(2, 0, "RTP + 75 packets sent") }),
        ] {
            ladder.arrow(at, arrow).expect("memory");
        }
    })
}

#[test]
fn each_message_is_an_arrow_between_two_lanes() {
    let drawn = ladder(ASCII);
    let expected = "
            alice                         ringway                           bob
            udp 127.0.0.1:1                  x                  tcp [::1]:54321
            |                                |                                |
 A call (times from the first message)
     0.0 ms |------- INVITE + digest ------->|                                |
     0.8 ms |<-- 407 Proxy Authentication~ --|                                |
    12.3 ms |                                |----------- INVITE ------------>|
  1234.6 ms |                                |<----- 180 Ringing (again) -----|
     0.0 ms |==================== RTP + 75 packets sent =====================>|
     0.0 ms |<===================== RTP + 75 packets sent ====================|
";
    let drawn = format!("\n{drawn}");
    assert_eq!(drawn, expected, "{drawn}{expected}");
}

#[test]
fn it_is_eighty_columns_wide_at_most_and_ascii_where_that_is_all_there_is() {
    assert!(ladder(ASCII).is_ascii());
    for style in [ASCII, UNICODE] {
        for line in ladder(style).lines() {
            assert!(line.width() <= 80, "{line}");
        }
    }
    assert!(ladder(UNICODE).contains("│◀── 407 Proxy Authentication… ──│"));
    let coloured = ladder(Style { unicode: true, colour: true });
    assert!(coloured.contains("\x1b[1mINVITE + digest\x1b[0m"), "{coloured}");
}

#[test]
fn arrows_to_far_lanes_cross_those_between() {
    assert_eq!(Ladder::room(80), 4);
    assert_eq!(Ladder::room(10), 2);
    assert!(Ladder::room(200) >= 8);
    let drawn = draw(ASCII, 80, |ladder| {
        ladder.lanes(&lanes(&["alice", "ringway", "desk", "mobile"])).expect("memory");
        for (from, to, label) in
            [(0, 1, "INVITE"), (1, 2, "INVITE"), (1, 3, "INVITE"), (3, 1, "180 Ringing")]
        {
            ladder.arrow(0, arrow(from, to, label)).expect("memory");
        }
        ladder
            .arrow_since((7, "b"), 300_000_007, arrow(1, 0, "電話電話電話電話電話"))
            .expect("memory");
    });
    let expected = "
            alice              ringway                desk               mobile
            udp alice:1     udp ringway:1          udp desk:1      udp mobile:1
     0.0 ms |------ INVITE ------>|                     |                     |
     0.0 ms |                     |------ INVITE ------>|                     |
     0.0 ms |                     |---------------------+------ INVITE ------>|
     0.0 ms |                     |<--------------------+----- 180 Ringing ---|
b   300.0 s |<- 電話電話電話電話~ |                     |                     |
";
    let drawn = format!("\n{drawn}");
    assert_eq!(drawn, expected, "{drawn}{expected}");
}
