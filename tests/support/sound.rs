//! A telephone's sound: a socket that sends tones and keys as RTP, and hears what comes.

use std::f64::consts::PI;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use callthrough::media::g711;
use callthrough::media::rtp::{self, Packet};
use callthrough::sdp::Session;
use callthrough::sip::Body;
use tokio::net::UdpSocket;

/// Samples of a packet: 20 ms.
const FRAME: u32 = 160;
/// The payload type of telephone events in the descriptions here.
const EVENTS: u8 = 101;
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Sound {
    socket: UdpSocket,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    /// Where it sends.
    pub to: Option<SocketAddr>,
}

impl Sound {
    pub async fn new(ssrc: u32) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), ssrc).await
    }

    pub async fn at(ip: IpAddr, ssrc: u32) -> Self {
        let socket = UdpSocket::bind((ip, 0)).await.expect("a free port");
        Self { socket, sequence: 65_530, timestamp: 4_000_000_000, ssrc, to: None }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    /// What it says of itself: A-law and telephone events, here, with these lines more.
    pub fn described(&self, more: &str) -> Body {
        let at = self.address();
        let kind = if at.is_ipv4() { "IP4" } else { "IP6" };
        Body::sdp(format!(
            "v=0\r\no=- {0} 1 IN {kind} {1}\r\ns=-\r\nc=IN {kind} {1}\r\nt=0 0\r\nm=audio {2} RTP/AVP 8 {EVENTS}\r\n\
             a=rtpmap:{EVENTS} telephone-event/8000\r\n{more}",
            self.ssrc,
            at.ip(),
            at.port()
        ))
    }

    /// Sends to where this description wants it.
    pub fn towards(&mut self, description: &str) -> SocketAddr {
        let session = Session::parse(&description.to_owned().into()).expect("a description");
        let media = session.media().find(|media| media.port() != 0).expect("sound is wanted");
        let to = SocketAddr::new(media.connection().expect("an address").parse().expect("no name"), media.port());
        self.to = Some(to);
        to
    }

    async fn sends(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) {
        let header = rtp::header(payload_type, marker, self.sequence, timestamp, self.ssrc);
        self.sequence = self.sequence.wrapping_add(1);
        let to = self.to.expect("somebody to send to");
        self.socket.send_to(&[&header, payload].concat(), to).await.expect("loopback takes a datagram");
    }

    /// A tone of so many packets, at the pace of a telephone.
    pub async fn hums(&mut self, hertz: f64, packets: u32) {
        let mut pace = tokio::time::interval(rtp::PTIME);
        for packet in 0..packets {
            pace.tick().await;
            let sample = |at: u32| 8_000.0 * (2.0 * PI * hertz * f64::from(at) / 8_000.0).sin();
            #[expect(clippy::cast_possible_truncation, reason = "within 8000")]
            let payload: Vec<u8> = (0..FRAME).map(|at| g711::to_alaw(sample(packet * FRAME + at) as i16)).collect();
            let timestamp = self.timestamp;
            self.sends(8, packet == 0, timestamp, &payload).await;
            self.timestamp = self.timestamp.wrapping_add(FRAME);
        }
    }

    /// Presses a key as RFC 4733 has it: six packets that grow, three that end.
    pub async fn presses(&mut self, event: u8) {
        let timestamp = self.timestamp;
        for step in 1..=9_u16 {
            let duration = (step.min(6) * 160).to_be_bytes();
            let end = if step > 6 { 0x8a } else { 0x0a };
            self.sends(EVENTS, step == 1, timestamp, &[event, end, duration[0], duration[1]]).await;
        }
        self.timestamp = self.timestamp.wrapping_add(FRAME * 10);
    }

    /// Presses these keys one after the other.
    pub async fn keys(&mut self, text: &str) {
        for key in text.chars() {
            self.presses(u8::try_from("0123456789*#".find(key).expect("a key of a telephone")).expect("small")).await;
        }
    }

    /// Sounds these keys as tones, with pauses, at no pace at all.
    pub async fn sounds_keys(&mut self, text: &str) {
        const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
        const HIGH: [f64; 3] = [1_209.0, 1_336.0, 1_477.0];
        for key in text.chars() {
            let place = "123456789*0#".find(key).expect("a key of a telephone");
            for packet in 0..8_u32 {
                let wave = |hertz: f64, at: u32| (2.0 * PI * hertz * f64::from(at) / 8_000.0).sin();
                #[expect(clippy::cast_possible_truncation, reason = "within 8000")]
                let sample =
                    |at: u32| if packet < 4 { (4_000.0 * (wave(LOW[place / 3], at) + wave(HIGH[place % 3], at))) as i16 } else { 0 };
                let payload: Vec<u8> = (0..FRAME).map(|at| g711::to_alaw(sample(packet * FRAME + at))).collect();
                let timestamp = self.timestamp;
                self.sends(8, false, timestamp, &payload).await;
                self.timestamp = self.timestamp.wrapping_add(FRAME);
            }
        }
    }

    /// Listens until so many packets of sound have come: their bytes.
    pub async fn listens_raw(&self, packets: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < packets * 160 {
            let (packet, payload, _) = self.hears().await;
            if packet.payload_type == 8 {
                bytes.extend(payload);
            }
        }
        bytes
    }

    /// Forgets what has come so far.
    pub fn forgets(&self) {
        let mut bytes = [0; 2048];
        while self.socket.try_recv_from(&mut bytes).is_ok() {}
    }

    /// The next packet and where it came from.
    pub async fn hears(&self) -> (Packet, Vec<u8>, SocketAddr) {
        let mut bytes = [0; 2048];
        let (length, from) =
            tokio::time::timeout(PATIENCE, self.socket.recv_from(&mut bytes)).await.expect("sound in time").expect("a socket");
        let packet = Packet::parse(&bytes[..length]).expect("RTP");
        let payload = bytes[packet.payload.clone()].to_vec();
        (packet, payload, from)
    }

    /// Listens until so many packets of sound have come: their samples. Telephone events are left aside.
    pub async fn listens(&self, packets: usize) -> Vec<i16> {
        let mut samples = Vec::new();
        while samples.len() < packets * 160 {
            let (packet, payload, _) = self.hears().await;
            if packet.payload_type == 8 {
                samples.extend(payload.into_iter().map(g711::from_alaw));
            }
        }
        samples
    }

    /// Whether nothing comes for a while.
    pub async fn hears_nothing(&self) -> bool {
        let mut bytes = [0; 2048];
        tokio::time::timeout(Duration::from_millis(100), self.socket.recv_from(&mut bytes)).await.is_err()
    }
}
