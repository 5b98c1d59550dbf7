//! A real `etcd` for a test: free ports, a folder of its own, ended by its own process id.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub(super) struct EtcdServer {
    folder: TempDir,
    binary: PathBuf,
    client: u16,
    peer: u16,
    process: Option<Child>,
}

impl EtcdServer {
    /// Starts a server. Without a binary these tests are ignored, unless the gate asks for them (build.rs).
    pub(super) fn start(test: &str) -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        let binary = env::split_paths(&path).map(|folder| folder.join("etcd")).find(|file| file.is_file());
        let binary = binary.unwrap_or_else(|| panic!("{test}: no `etcd` in PATH; install etcd-server"));
        // A free port may be taken before the server has it; then others are tried.
        for _ in 0..5 {
            let [client, peer] = free_ports();
            let folder = tempfile::tempdir().unwrap();
            let mut server = Self { folder, binary: binary.clone(), client, peer, process: None };
            match server.try_up() {
                Ok(()) => return server,
                Err(log) => assert!(log.contains("address already in use"), "{log}"),
            }
        }
        panic!("{test}: no free ports for etcd");
    }

    pub(super) fn up(&mut self) {
        self.try_up().unwrap();
    }

    /// Starts it (again) on the same ports and data, and waits until it says that it serves. (Not by connecting: to a port
    /// that nobody listens on yet, a connection from this machine may reach itself, and then keeps the port.)
    fn try_up(&mut self) -> Result<(), String> {
        let url = |port| format!("http://127.0.0.1:{port}");
        let log = fs::File::create(self.log()).unwrap();
        let process = Command::new(&self.binary)
            .arg("--data-dir")
            .arg(self.folder.path().join("data"))
            .args(["--name", "one", "--initial-cluster", &format!("one={}", url(self.peer))])
            .args(["--listen-client-urls", &url(self.client), "--advertise-client-urls", &url(self.client)])
            .args(["--listen-peer-urls", &url(self.peer), "--initial-advertise-peer-urls", &url(self.peer)])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            if ["ready to serve", "serving client traffic"].iter().any(|line| log.contains(line)) {
                return Ok(());
            }
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                return Err(format!("etcd did not start: {ended:?}\n{log}"));
            }
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// SIGSTOP and SIGCONT.
    pub(super) fn pause(&self, pause: bool) {
        let id = self.process.as_ref().unwrap().id().to_string();
        let signal = if pause { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    pub(super) fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.client)
    }

    fn log(&self) -> PathBuf {
        Path::new(self.folder.path()).join("log")
    }
}

fn free_ports() -> [u16; 2] {
    let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    free.each_ref().map(|listener| listener.local_addr().unwrap().port())
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.kill();
    }
}
