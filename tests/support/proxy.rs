//! A piece of network between the server and its database, which may be cut, swallow what is sent, or take its time.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A door on a free port that leads to another.
pub struct Proxy {
    wire: Arc<Wire>,
    /// Where it listens.
    pub address: SocketAddr,
}

struct Wire {
    to: SocketAddr,
    open: Mutex<Vec<TcpStream>>,
    /// New connections are closed at once.
    cut: AtomicBool,
    /// Bytes of connections born before this one never arrive.
    deaf_below: AtomicU64,
    born: AtomicU64,
    delay_ms: AtomicU64,
    over: AtomicBool,
}

impl Proxy {
    /// A door that leads to `to`.
    pub fn before(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let wire = Arc::new(Wire {
            to,
            open: Mutex::default(),
            cut: AtomicBool::new(false),
            deaf_below: AtomicU64::new(0),
            born: AtomicU64::new(1),
            delay_ms: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let door = wire.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if door.over.load(Ordering::SeqCst) {
                    return;
                }
                door.clone().leads(stream);
            }
        });
        Self { wire, address }
    }

    /// Every connection breaks, and new ones do too.
    pub fn cuts(&self) {
        self.wire.cut.store(true, Ordering::SeqCst);
        self.wire.breaks();
    }

    /// New connections work again.
    pub fn mends(&self) {
        self.wire.cut.store(false, Ordering::SeqCst);
    }

    /// Whatever is sent is lost, now and on the connections of now for ever; nobody is told.
    pub fn swallows(&self) {
        self.wire.deaf_below.store(u64::MAX, Ordering::SeqCst);
    }

    /// Connections made from now on work.
    pub fn hears_again(&self) {
        self.wire.deaf_below.store(self.wire.born.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Every piece takes so long, each way.
    pub fn slows_to(&self, delay: Duration) {
        self.wire.delay_ms.store(u64::try_from(delay.as_millis()).expect("short"), Ordering::SeqCst);
    }
}

impl Wire {
    fn breaks(&self) {
        for stream in self.open.lock().expect("nothing panics here").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn leads(self: Arc<Self>, from: TcpStream) {
        if self.cut.load(Ordering::SeqCst) {
            return;
        }
        let number = self.born.fetch_add(1, Ordering::SeqCst);
        let Ok(to) = TcpStream::connect(self.to) else { return };
        let _ = (from.set_nodelay(true), to.set_nodelay(true));
        let mut open = self.open.lock().expect("nothing panics here");
        let ends = [from.try_clone(), to.try_clone(), from.try_clone(), to.try_clone()].map(|end| end.expect("a descriptor"));
        let [near, far, near_again, far_again] = ends;
        open.extend([from, to]);
        drop(open);
        for (read, write) in [(near, far), (far_again, near_again)] {
            let wire = self.clone();
            std::thread::spawn(move || wire.carries(read, write, number));
        }
    }

    fn carries(&self, mut read: TcpStream, mut write: TcpStream, number: u64) {
        let mut buffer = vec![0; 65_536];
        loop {
            let length = match read.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(length) => length,
            };
            let delay = self.delay_ms.load(Ordering::SeqCst);
            if delay > 0 {
                std::thread::sleep(Duration::from_millis(delay));
            }
            if number < self.deaf_below.load(Ordering::SeqCst) {
                continue;
            }
            if write.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        // What is swallowed is not told of either.
        if number >= self.deaf_below.load(Ordering::SeqCst) {
            let _ = write.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.wire.over.store(true, Ordering::SeqCst);
        self.wire.breaks();
        let _ = TcpStream::connect(self.address);
    }
}
