//! Tells the nth prime: `GET /primes?n=1000`. The table of primes is made when
//! the file is loaded, not in each invocation.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::OnceLock,
};

use mayfly_guest::{Error, Request, Response, handler, init, json};

/// Primes below this are in the table.
const BELOW: usize = 1_000_000;

struct Table {
    primes: Vec<usize>,
    /// A random number: as long as it stays, the table was not made again.
    id: u64,
}

static TABLE: OnceLock<Table> = OnceLock::new();

/// The sieve of Eratosthenes.
fn make() -> Table {
    let mut is_composite = vec![false; BELOW];
    let mut primes = Vec::new();
    for n in 2..BELOW {
        if is_composite[n] {
            continue;
        }
        primes.push(n);
        (n * n..BELOW).step_by(n).for_each(|multiple| is_composite[multiple] = true);
    }
    Table { primes, id: RandomState::new().hash_one(0) }
}

#[init]
fn prepare() {
    TABLE.get_or_init(make);
}

#[handler]
fn prime(request: Request) -> Result<Response, Error> {
    let new;
    let table = match request.query("again") {
        // To compare: what each invocation would do without the initialisation.
        Some(_) => {
            new = make();
            &new
        }
        None => TABLE.get_or_init(make),
    };
    let n = request.query("n").unwrap_or("1").parse::<usize>().ok();
    match n.and_then(|n| table.primes.get(n.checked_sub(1)?)) {
        Some(prime) => {
            Response::json(200, &json!({ "prime": prime, "table": table.id.to_string() }))
        }
        None => Response::json(404, &json!({ "primes": table.primes.len() })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_are_counted_from_one() {
        for (n, expected) in [(1, 2), (2, 3), (1000, 7919)] {
            let response = prime(Request::get(&format!("/primes?n={n}"))).expect("an answer");
            let body: mayfly_guest::Value = response.body_json().expect("JSON");
            assert_eq!(body["prime"], expected);
        }
        assert_eq!(prime(Request::get("/primes?n=0")).expect("an answer").status(), 404);
    }
}
