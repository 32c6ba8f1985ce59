//! `wardcast demo`: a real gateway, real members, and everything that a group goes through, in under a minute.

mod crowd;
mod gateway;
mod ledger;
mod outsider;
mod phases;
mod place;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use gateway::Gateway;
use phases::{NAMES, Scene};
use place::{Place, TokenChoice};
use show::Show;

/// Fewer members show nothing: two are evicted, some leave, and some must stay.
const FEWEST: u32 = 8;
/// More members than this process has sockets for by default.
const MOST: u32 = 900;

/// Starts a gateway with a throw-away CA and token, lets members join, rotates, evicts, kills it in the middle of a rekey,
/// and checks that all agree, that the evicted are out, and that nobody had to join afresh.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes:\n  0  all of it was seen\n  1  something was not: it is named\n  2  wrong usage\n  130  stopped"
)]
pub struct DemoArgs {
    /// How many members join.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(i64::from(FEWEST)..=i64::from(MOST)))]
    members: u32,
    /// Where the gateway's keys are.
    #[arg(long, value_enum, default_value_t = TokenArg::Soft)]
    token: TokenArg,
    /// The PKCS#11 library for --token pkcs11; SoftHSM's unless told otherwise. A new token is initialised with softhsm2-util.
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
    /// Print JSON: one event a line, the summary last, with "ok".
    #[arg(long)]
    json: bool,
}

/// A kind of token, as written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TokenArg {
    /// A software token: nothing to install.
    Soft,
    /// A PKCS#11 token.
    Pkcs11,
}

/// Runs the command.
pub async fn run(args: &DemoArgs) -> ExitCode {
    if args.module.is_some() && args.token == TokenArg::Soft {
        eprintln!("wardcast: --module goes with --token pkcs11");
        return ExitCode::from(2);
    }
    let mut show = Show::new(args.json);
    // Whichever way this ends, dropping the scene kills the gateway and removes its folder.
    let ended = tokio::select! {
        ok = play(args, &mut show) => Some(ok),
        () = stopped() => None,
    };
    match ended {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => ExitCode::from(130),
    }
}

/// SIGINT, SIGTERM or SIGHUP. If they cannot be listened for, they end the process; the gateway then ends with its input.
async fn stopped() {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

/// Runs all phases; stops at the first that fails. Returns whether all went well.
async fn play(args: &DemoArgs, show: &mut Show) -> bool {
    let members = args.members as usize;
    let token = match args.token {
        TokenArg::Soft => TokenChoice::Soft,
        TokenArg::Pkcs11 => TokenChoice::Pkcs11(args.module.clone()),
    };
    let row = show.begin("gateway", 1);
    let mut scene = match open(&token, members).await {
        Ok(scene) => scene,
        Err(why) => {
            show.end(row, &Err(why));
            return show.summary(&[]);
        }
    };
    row.at(1);
    show.end(row, &Ok(scene.gateway.about()));
    for phase in NAMES {
        let row = show.begin(phase, scene.steps(phase));
        let outcome = scene.run(phase, &row).await;
        show.end(row, &outcome);
        if outcome.is_err() {
            break;
        }
    }
    let (epochs, secrets) = scene.crowd.totals();
    show.summary(&[
        ("members", json!(scene.crowd.present().len())),
        ("epochs", json!(epochs)),
        ("secrets_compared", json!(secrets)),
        ("resumptions", json!(scene.crowd.resumptions())),
    ])
}

async fn open(token: &TokenChoice, members: usize) -> Result<Scene, String> {
    let gateway = Gateway::open(Place::make(token)?).await?;
    Ok(Scene {
        gateway,
        crowd: Default::default(),
        members,
    })
}
