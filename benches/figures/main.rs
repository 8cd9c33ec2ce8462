//! What a request and a call cost, printed beside what others need for the like in the same run: `cargo bench`.
//!
//! The request: our call-through request against a bare axum handler, driven by the same client. The call: our SIP core as a
//! back-to-back user agent without books, the whole server with its books, and Kamailio as a stateful proxy, all under the
//! same SIPp at the same rate. CPU is what the kernel counted for the process, so that neither SIPp nor the client is in it.
//! Without `--bench` (as `cargo test --benches` starts it) it only tries each part for a moment.

#[path = "../../tests/support/mod.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod support;

mod books;
mod hops;
mod micro;
mod profile;
mod web;

use std::time::Duration;

use support::sipp::{CARRIER, FIRST, Script, free_address};
use support::traffic::{GENEROUS, Phones, Usage, usage};
use support::world::World;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Requests of each kind.
    requests: u32,
    /// Calls a second.
    rate: u32,
    /// Calls of each kind.
    calls: u32,
}

const WHOLE: Size = Size { requests: 5_000, rate: 500, calls: 5_000 };
const TASTE: Size = Size { requests: 20, rate: 20, calls: 20 };

/// The bare handler is so quick that it needs more requests to be measured at all.
const BARE: u32 = 20;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--be-a-bare-handler") => web::bare_handler(),
        Some("--be-a-b2bua") => hops::b2bua(&arguments[1..]),
        Some("--only-the-books") => println!("the books of a call alone: {:.3} ms CPU", books::cpu_millis(WHOLE)),
        _ => {
            let whole = arguments.iter().any(|argument| argument == "--bench");
            measure(if whole { WHOLE } else { TASTE }, whole);
        }
    }
}

fn measure(size: Size, whole: bool) {
    println!("{} calls of each kind at {}/s, {} requests of each kind\n", size.calls, size.rate, size.requests);
    if !whole {
        println!("Too few for figures: this shows only that every part runs. `cargo bench` measures.\n");
    }
    micro::print(whole);

    let world = World::with(GENEROUS);
    let destination = free_address(FIRST);
    world.trunk_out("first", destination, 10);
    let phones = Phones::new(&world, size.calls, "50.00");
    let bare = web::bare(size.requests * BARE);
    let ours = web::ours(&world, &phones, size.requests);
    println!("\nrequest               CPU a request   a second   p50        p99");
    for (name, measured) in [("bare axum handler", &bare), ("call-through request", &ours)] {
        println!(
            "{name:<22}{:>10.3} ms{:>11.0}   {:<8.1?}   {:<8.1?}",
            measured.cpu_millis, measured.per_second, measured.p50, measured.p99
        );
    }
    println!("{:<22}{:>10.1} x {:>11.2} x", "ratio", ours.cpu_millis / bare.cpu_millis, ours.per_second / bare.per_second);

    let proxy = hops::kamailio(size);
    let core = hops::core(size);
    let full = full(&world, &phones, destination, size, whole);
    println!("\ncall                              CPU a call   memory a held call   failed   retransmissions");
    for (name, hop) in [("Kamailio, stateful proxy", &proxy), ("our SIP core as a B2BUA", &Some(core)), ("the whole server", &Some(full.0))]
    {
        match hop {
            Some(hop) => {
                println!("{name:<32}{:>9.3} ms{:>16.1} KiB{:>9}{:>18}", hop.cpu_millis, hop.memory_kib, hop.failed, hop.retransmissions);
            }
            None => println!("{name:<32}   is not installed"),
        }
    }
    println!("\nthe books of a call alone, in the same rhythm: {:.3} ms CPU", books::cpu_millis(size));
    if let Some(sections) = full.1 {
        println!("\nwhere the time of the whole server goes while calls come in\n{sections}");
    }
    world.is_at_rest();
}

/// What one kind of hop needed.
struct Hop {
    cpu_millis: f64,
    memory_kib: f64,
    failed: u64,
    retransmissions: u64,
}

/// SIPp on both sides of `server`: each call is held until the last has been answered.
fn drive(
    world: &support::folder::Folder,
    pid: u32,
    server: std::net::SocketAddr,
    ends: (std::net::SocketAddr, std::net::SocketAddr),
    injection: &str,
    size: Size,
) -> Hop {
    let (carrier, destination) = ends;
    let ramp = Duration::from_secs(1) * size.calls / size.rate;
    let file = world.file(&format!("calls-{}.csv", server.port()));
    std::fs::write(&file, injection).expect("a file");
    let patience = ramp * 2 + Duration::from_secs(40);
    let before = usage(pid);
    let mut b = Script::destination("load_destination", destination).calls(size.calls).untraced().patience(patience).start(world.path());
    let mut a = Script::caller("load_caller", carrier, server, "", "")
        .calls(size.calls)
        .untraced()
        .patience(patience)
        .pause(ramp + Duration::from_secs(1))
        .with(&["-inf", &file.display().to_string(), "-r", &size.rate.to_string(), "-l", &(size.calls + 1).to_string()])
        .start(world.path());
    std::thread::sleep(ramp + Duration::from_millis(500));
    let held = usage(pid);
    a.wait();
    b.wait();
    let after = usage(pid);
    Hop {
        cpu_millis: millis(before, after) / f64::from(size.calls),
        memory_kib: f64::from(u32::try_from(held.memory_kib.saturating_sub(before.memory_kib)).unwrap_or(u32::MAX)) / f64::from(size.calls),
        failed: a.figure("FailedCall(C)") + b.figure("FailedCall(C)"),
        retransmissions: a.figure("Retransmissions(C)"),
    }
}

fn millis(before: Usage, after: Usage) -> f64 {
    after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1000.0
}

/// Matching, hold, settle and record: the reservations are made before, so that no request is in the figure.
fn full(world: &World, phones: &Phones, destination: std::net::SocketAddr, size: Size, profiled: bool) -> (Hop, Option<String>) {
    assert_eq!(world.carrier.ip(), CARRIER);
    let asked = phones.ask(world, 0, size.calls, 1_000).join().expect("the phones asked");
    assert_eq!(asked.granted, size.calls, "{:#?}", asked.refused);
    let profile = profiled.then(|| profile::start(world.folder.path(), world.server.pid(), size.calls / size.rate)).flatten();
    let ends = (world.carrier, destination);
    let hop = drive(&world.folder, world.server.pid(), world.server.sip, ends, &phones.injection(size.calls), size);
    (hop, profile.and_then(profile::Profile::sections))
}
