//! SIGTERM and SIGINT: the first asks for a graceful end, the second ends at once.

use crate::limits;
use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

/// The signals of this process, from now on.
#[derive(Debug)]
pub struct Signals {
    first: Receiver<()>,
}

impl Signals {
    /// Begins to listen; from now on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// If the system gives no thread or no handler.
    pub fn listen() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (mut terminate, mut interrupt) = {
            let _inside = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        let (tell, first) = sync_channel(1);
        thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                sleep(limits::SIGNALS_TOGETHER).await;
                drain(&mut terminate).await;
                drain(&mut interrupt).await;
                // Nobody waits any more: then it ends by itself.
                let _ = tell.send(());
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                std::process::exit(limits::EXIT_INTERRUPTED);
            });
        })?;
        Ok(Self { first })
    }

    /// Waits for the first one, which may have come already.
    pub fn wait(&self) {
        // The other end is never let go of before it has told.
        let _ = self.first.recv();
    }
}

/// Takes a signal that has come already.
async fn drain(signal: &mut Signal) {
    // No time to wait: it is there or it is not.
    let _ = timeout(Duration::ZERO, signal.recv()).await;
}
