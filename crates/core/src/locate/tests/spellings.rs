use super::*;

// F7: 127.0.0.1 and 10.0.0.1, in every form that leads there, and others that nobody may name.
#[test]
fn f7_every_spelling_of_an_address_is_that_address() {
    for (text, expected) in [
        ("127.0.0.1", Reach::Loopback),
        ("127.0.0.2", Reach::Loopback),
        ("127.255.255.254", Reach::Loopback),
        ("::1", Reach::Loopback),
        ("0:0:0:0:0:0:0:1", Reach::Loopback),
        ("::ffff:127.0.0.1", Reach::Loopback),
        ("::ffff:7f00:1", Reach::Loopback),
        ("0:0:0:0:0:ffff:7f00:0001", Reach::Loopback),
        ("::127.0.0.1", Reach::Loopback),
        ("::ffff:0:127.0.0.1", Reach::Loopback),
        ("64:ff9b::127.0.0.1", Reach::Loopback),
        ("64:ff9b::7f00:1", Reach::Loopback),
        ("64:ff9b:1::127.0.0.1", Reach::Loopback),
        ("2002:7f00:1::", Reach::Loopback),
        ("2002:7f00:0001::1", Reach::Loopback),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", Reach::Loopback),
        ("fd00::5efe:127.0.0.1", Reach::Loopback),
        ("2001:db8::200:5efe:7f00:1", Reach::Loopback),
        ("169.254.169.254", Reach::LinkLocal),
        ("::ffff:169.254.169.254", Reach::LinkLocal),
        ("64:ff9b::a9fe:a9fe", Reach::LinkLocal),
        ("2002:a9fe:a9fe::", Reach::LinkLocal),
        ("fd00:ec2::254", Reach::LinkLocal),
        ("100.100.100.200", Reach::LinkLocal),
        ("192.0.0.192", Reach::LinkLocal),
        ("fe80::1", Reach::LinkLocal),
        ("0.0.0.0", Reach::Nobody),
        ("::", Reach::Nobody),
        ("::ffff:0.0.0.0", Reach::Nobody),
        ("224.0.1.75", Reach::Nobody),
        ("ff02::1", Reach::Nobody),
        ("255.255.255.255", Reach::Nobody),
        ("64:ff9b::ffff:ffff", Reach::Nobody),
        ("10.0.0.1", Reach::Ordinary),
        ("::ffff:10.0.0.1", Reach::Ordinary),
        ("::ffff:a00:1", Reach::Ordinary),
        ("64:ff9b::10.0.0.1", Reach::Ordinary),
        ("172.16.0.1", Reach::Ordinary),
        ("192.168.1.1", Reach::Ordinary),
        ("192.0.2.1", Reach::Ordinary),
        ("fd12:3456::1", Reach::Ordinary),
        ("2001:db8::1", Reach::Ordinary),
        ("2002:a00:1::", Reach::Ordinary),
    ] {
        let ip: IpAddr = text.parse().expect("an address");
        assert_eq!(reach(ip), expected, "{text}");
    }
    // No name, and no address either: never asked for, for some resolvers take them for one.
    for host in ["127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "10.1"]
    {
        let mut search = Search::new(
            &NextHop { host: host.as_bytes().into(), ..hop("sip:x:1") },
            &Usable::from_iter(ALL),
            1,
        );
        assert!(search.wanted().is_empty() && search.targets().is_empty(), "{host}");
        search.answer(Vec::new());
    }
}
