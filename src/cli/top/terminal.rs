//! The terminal itself: its keys and its screen, and the gateway that is asked every second.

use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::draw::{Colours, draw};
use super::screen::{Key, Screen};
use crate::admin::api::OverviewView;
use crate::cli::admin::{Client, ClientError};

/// How often the gateway is asked, and what is shown is drawn anew.
const EVERY: Duration = Duration::from_secs(1);
/// A gateway that answers later is away. It takes five seconds to say that one of its loops hangs.
const PATIENCE: Duration = Duration::from_secs(8);
/// What waits to be drawn.
const QUEUE: usize = 16;

/// Why the view ended before its user wanted it to.
#[derive(Debug, thiserror::Error)]
pub(super) enum TopError {
    /// The gateway refuses to be looked at.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The terminal.
    #[error("the terminal cannot be used: {0}; use --once")]
    Terminal(#[from] std::io::Error),
}

/// What the gateway said; or that it does not answer, and why.
type Heard = Result<OverviewView, String>;

/// Shows the gateway until the user ends it.
pub(super) async fn run(client: Client, server: &str) -> Result<(), TopError> {
    // Gives the terminal back as it was even where something panics.
    let mut terminal = ratatui::try_init()?;
    let ended = show(&mut terminal, client, server).await;
    ratatui::restore();
    ended
}

async fn show(
    terminal: &mut ratatui::DefaultTerminal,
    client: Client,
    server: &str,
) -> Result<(), TopError> {
    let colours = Colours(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()));
    let mut screen = Screen::new(server);
    let (pressed, mut keys) = mpsc::channel(QUEUE);
    // It ends with the process: nothing wakes it but a key.
    std::thread::spawn(move || listen(&pressed));
    let (told, mut tellings) = mpsc::channel(1);
    let asking = tokio::spawn(ask(client, told));
    let mut clock = interval(EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        terminal.draw(|frame| draw(frame, &screen, colours))?;
        tokio::select! {
            told = tellings.recv() => match told {
                Some(Ok(overview)) => screen.tells(overview),
                Some(Err(why)) => screen.away = Some(why),
                // It refuses: asking again changes nothing.
                None => {
                    let refused = asking.await.ok();
                    return refused.map_or(Ok(()), |refused| Err(refused.into()));
                }
            },
            pressed = keys.recv() => match pressed {
                Some(Pressed::Key(key)) if !screen.press(key) => {}
                Some(Pressed::Resized) => {}
                Some(Pressed::Key(_) | Pressed::Interrupt) | None => break,
            },
            _ = clock.tick() => {}
        }
    }
    asking.abort();
    Ok(())
}

/// Asks again and again; ends with a refusal.
async fn ask(client: Client, told: mpsc::Sender<Heard>) -> ClientError {
    let mut clock = interval(EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let heard = match timeout(PATIENCE, client.overview()).await {
            Ok(Ok(view)) => Ok(view),
            Ok(Err(error @ ClientError::Refused { .. })) if error.exit_code() != 1 => return error,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        // Nobody shows it any more: then nobody waits for what this returns either.
        let _ = told.send(heard).await;
    }
}

/// What the terminal says.
enum Pressed {
    Key(Key),
    Interrupt,
    Resized,
}

fn listen(pressed: &mpsc::Sender<Pressed>) {
    while let Ok(event) = event::read() {
        let said = match event {
            Event::Resize(..) => Some(Pressed::Resized),
            Event::Key(key) if key.kind == KeyEventKind::Press => {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                match key.code {
                    KeyCode::Char('c') if control => Some(Pressed::Interrupt),
                    KeyCode::Char(letter) => Some(Pressed::Key(Key::Letter(letter))),
                    KeyCode::Enter => Some(Pressed::Key(Key::Enter)),
                    KeyCode::Esc => Some(Pressed::Key(Key::Escape)),
                    KeyCode::Backspace => Some(Pressed::Key(Key::Backspace)),
                    KeyCode::Up => Some(Pressed::Key(Key::Up)),
                    KeyCode::Down => Some(Pressed::Key(Key::Down)),
                    _ => None,
                }
            }
            _ => None,
        };
        let Some(said) = said else {
            continue;
        };
        if pressed.blocking_send(said).is_err() {
            return;
        }
    }
}
