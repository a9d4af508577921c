//! SIGTERM and SIGINT: the first asks for a graceful end, the second ends at once. SIGHUP asks
//! for certificates to be read anew.

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
    told: Receiver<Told>,
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// To end gracefully.
    Stop,
    /// To read certificates anew.
    Reload,
}

impl Signals {
    /// Begins to listen; from now on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// If the system gives no thread or no handler.
    pub fn listen() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (mut terminate, mut interrupt, mut hang_up) = {
            let _inside = runtime.enter();
            let terminate = signal(SignalKind::terminate())?;
            (terminate, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?)
        };
        let (tell, told) = sync_channel(1);
        thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(async move {
                loop {
                    tokio::select! {
                        _ = terminate.recv() => break,
                        _ = interrupt.recv() => break,
                        // One that waits already serves this one, too.
                        _ = hang_up.recv() => drop(tell.try_send(Told::Reload)),
                    }
                }
                sleep(limits::SIGNALS_TOGETHER).await;
                drain(&mut terminate).await;
                drain(&mut interrupt).await;
                // Nobody waits any more: then it ends by itself.
                let _ = tell.send(Told::Stop);
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                std::process::exit(limits::EXIT_INTERRUPTED);
            });
        })?;
        Ok(Self { told })
    }

    /// Waits for the next one, which may have come already.
    pub fn wait(&self) -> Told {
        // The other end is never let go of before it has told.
        self.told.recv().unwrap_or(Told::Stop)
    }
}

/// Takes a signal that has come already.
async fn drain(signal: &mut Signal) {
    // No time to wait: it is there or it is not.
    let _ = timeout(Duration::ZERO, signal.recv()).await;
}
