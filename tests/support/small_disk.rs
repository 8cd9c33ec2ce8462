//! A small disk: a file system of some megabytes in a mount namespace of its own. It goes when its last process does.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::cluster::is_root;
use super::eventually;
use super::server::Around;

/// A disk mounted at a folder, for those inside.
pub struct SmallDisk {
    holder: Child,
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts so many MiB at `folder`.
    pub fn at(folder: &Path, mebibytes: u32) -> Self {
        std::fs::create_dir_all(folder).expect("the folder of the test can be written");
        let inside = format!("mount -t tmpfs -o size={mebibytes}m,mode=700 tmpfs {} && exec sleep 86400", folder.display());
        let mut command = Command::new("unshare");
        // Who is not root is it in there.
        command.args(if is_root() { &["--mount"][..] } else { &["--user", "--map-root-user", "--mount"][..] });
        let holder = command.args(["sh", "-c", &inside]).stdin(Stdio::null()).spawn().expect("this test needs unshare of util-linux");
        let mut disk = Self { holder, folder: folder.to_owned() };
        let mounted = eventually(Duration::from_secs(10), || {
            if let Ok(Some(status)) = disk.holder.try_wait() {
                panic!(
                    "a small disk cannot be mounted here ({status}): run the tests where a mount namespace may be made, as root or by sudo"
                );
            }
            let mounts = std::fs::read_to_string(format!("/proc/{}/mounts", disk.holder.id())).unwrap_or_default();
            mounts.lines().any(|line| line.split(' ').nth(1) == disk.folder.to_str()).then_some(())
        });
        assert!(mounted.is_some(), "the small disk is not mounted");
        disk
    }

    /// What a server on it runs in.
    pub fn around(&self) -> Around {
        let holder = self.holder.id().to_string();
        let mut wrapper = vec!["nsenter".to_owned(), "--target".to_owned(), holder.clone(), "--mount".to_owned()];
        if !is_root() {
            wrapper.extend(["--user".to_owned(), "--preserve-credentials".to_owned()]);
        }
        wrapper.push("--".to_owned());
        let root = PathBuf::from(format!("/proc/{holder}/root"));
        Around { wrapper, environment: Vec::new(), root, logs_to_data: true }
    }

    fn seen(&self, name: &str) -> PathBuf {
        let inside = self.folder.strip_prefix("/").unwrap_or(&self.folder);
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(inside).join(name)
    }

    /// Writes until nothing more goes on it; the bytes that still did.
    pub fn fills(&self) -> u64 {
        let mut file = File::options().create(true).append(true).open(self.seen("filler")).expect("the disk can be written");
        let mut written = 0;
        for size in [65_536, 4096, 256, 1] {
            let piece = vec![0; size];
            while let Ok(wrote @ 1..) = file.write(&piece) {
                written += u64::try_from(wrote).expect("small");
            }
        }
        written
    }

    /// There is room again.
    pub fn empties(&self) {
        let _ = std::fs::remove_file(self.seen("filler"));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
