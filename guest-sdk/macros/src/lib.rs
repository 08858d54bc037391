//! The attribute macros of `mayfly-guest`. Depend on that crate, not on this
//! one: it re-exports them as `mayfly_guest::handler` and `mayfly_guest::init`.

use proc_macro::TokenStream;
use quote::{ToTokens, quote};
use syn::{Error, FnArg, ItemFn, ReturnType, Safety, parse::Nothing, parse_macro_input};

/// Makes a function the handler of its crate.
///
/// The function stays what it is, so a unit test calls it directly. A build
/// for WebAssembly also gets the component's export, which reads the event,
/// calls the function and writes its answer. A crate has one handler.
///
/// ```
/// use mayfly_guest::{Context, Error, Request, Response, handler};
///
/// #[handler]
/// fn handle(request: Request, _context: Context) -> Result<Response, Error> {
///     Ok(Response::text(200, request.path()))
/// }
///
/// let response = handle(Request::get("/here"), Context::default())?;
/// assert_eq!(response.body_text(), "/here");
/// # Ok::<(), Error>(())
/// ```
#[proc_macro_attribute]
pub fn handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let _ = parse_macro_input!(arguments as Nothing);
    let function = match syn::parse::<ItemFn>(item) {
        Ok(function) => function,
        Err(error) => {
            let message = "`#[handler]` goes on a function: `fn handle(request: Request, context: Context) -> Result<Response, Error>`";
            return Error::new(error.span(), message).into_compile_error().into();
        }
    };
    let export = match check(&function) {
        Ok(()) => export(&function).into_token_stream(),
        // The function is kept, so that its callers raise no errors of their own.
        Err(error) => error.into_compile_error(),
    };
    quote!(#function #export).into()
}

/// Runs a function once, when the file is loaded: every invocation begins in
/// the memory that it left.
///
/// So tables, parsed documents or compiled expressions are made once, not in
/// each sandbox. It belongs to no invocation: it has no environment, tables,
/// services, servers or files, and 10 seconds. What it draws from random
/// numbers is the same in all invocations, and so is the seed of its
/// `HashMap`s: keys and tokens are made in the handler. It logs with the
/// macros of `mayfly_guest::log`; what it prints to standard output or error
/// makes the file unloadable. A crate has one.
///
/// ```
/// use std::sync::OnceLock;
///
/// use mayfly_guest::{Error, Request, Response, handler, init};
///
/// static SQUARES: OnceLock<Vec<u64>> = OnceLock::new();
///
/// fn squares() -> &'static [u64] {
///     SQUARES.get_or_init(|| (0..100_000).map(|n| n * n).collect())
/// }
///
/// #[init]
/// fn prepare() {
///     squares();
/// }
///
/// // Elsewhere, as in a unit test, nobody runs it: then it is made here.
/// #[handler]
/// fn square(request: Request) -> Result<Response, Error> {
///     let n: usize = request.query("n").unwrap_or("0").parse()?;
///     Ok(Response::text(200, squares().get(n).map_or(String::new(), u64::to_string)))
/// }
///
/// assert_eq!(square(Request::get("/?n=12"))?.body_text(), "144");
/// # Ok::<(), Error>(())
/// ```
#[proc_macro_attribute]
pub fn init(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let _ = parse_macro_input!(arguments as Nothing);
    let function = match syn::parse::<ItemFn>(item) {
        Ok(function) => function,
        Err(error) => {
            let message = "`#[init]` goes on a function: `fn init()`";
            return Error::new(error.span(), message).into_compile_error().into();
        }
    };
    let name = &function.sig.ident;
    let export = match check_init(&function) {
        Ok(()) => quote! {
            #[cfg(target_family = "wasm")]
            const _: () = {
                struct Component;
                impl ::mayfly_guest::__rt::initialisation::Guest for Component {
                    fn wizer_initialize() {
                        ::mayfly_guest::__rt::initialise(#name)
                    }
                }
                ::mayfly_guest::__rt::initialisation::export!(
                    Component with_types_in ::mayfly_guest::__rt::initialisation
                );
            };

            #[cfg(not(target_family = "wasm"))]
            const _: fn() = #name;
        },
        Err(error) => error.into_compile_error(),
    };
    quote!(#function #export).into()
}

/// What the types alone would report in words that help nobody.
fn check_init(function: &ItemFn) -> Result<(), Error> {
    let signature = &function.sig;
    if let Some(asyncness) = &signature.asyncness {
        let message = "an initialisation is not async: it runs to its end when the file is loaded";
        return Err(Error::new_spanned(asyncness, message));
    }
    let is_plain = matches!(signature.safety, Safety::Default)
        && signature.abi.is_none()
        && signature.generics.params.is_empty();
    if !is_plain || !signature.inputs.is_empty() || !matches!(signature.output, ReturnType::Default)
    {
        let message = "an initialisation takes nothing and returns nothing, `fn init()`: where it fails, it panics";
        return Err(Error::new_spanned(&signature.ident, message));
    }
    Ok(())
}

/// The component's export for WebAssembly; elsewhere a check of the types, so
/// that `cargo check` on the host already reports what would not build.
fn export(function: &ItemFn) -> impl ToTokens {
    let name = &function.sig.ident;
    quote! {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;
            impl ::mayfly_guest::__rt::Guest for Component {
                fn handle(
                    event: ::std::string::String,
                    context: ::mayfly_guest::__rt::WitContext,
                ) -> ::std::result::Result<::std::string::String, ::mayfly_guest::__rt::FunctionError> {
                    ::mayfly_guest::__rt::serve(#name, event, context)
                }
            }
            ::mayfly_guest::__rt::export!(Component with_types_in ::mayfly_guest::__rt);
        };

        #[cfg(not(target_family = "wasm"))]
        const _: fn() = || ::mayfly_guest::__rt::check(#name);
    }
}

/// What the types alone would report in words that help nobody.
fn check(function: &ItemFn) -> Result<(), Error> {
    let signature = &function.sig;
    if let Some(asyncness) = &signature.asyncness {
        let message =
            "a handler is not async: it lives for one request, and calls to services block";
        return Err(Error::new_spanned(asyncness, message));
    }
    if let Safety::Unsafe(keyword) = &signature.safety {
        return Err(Error::new_spanned(keyword, "a handler is not unsafe"));
    }
    if let Some(abi) = &signature.abi {
        return Err(Error::new_spanned(abi, "a handler is a plain Rust function"));
    }
    if !signature.generics.params.is_empty() {
        let message = "a handler is not generic: name the type of the event";
        return Err(Error::new_spanned(&signature.generics, message));
    }
    if let Some(receiver @ FnArg::Receiver(_)) = signature.inputs.first() {
        return Err(Error::new_spanned(receiver, "a handler is a free function without `self`"));
    }
    if !(1..=2).contains(&signature.inputs.len()) {
        let message = "a handler takes the event and, if it likes, the context: `(request: Request)` or `(request: Request, context: Context)`";
        return Err(Error::new_spanned(&signature.ident, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check, check_init};

    fn message(function: &str) -> Option<String> {
        let function = syn::parse_str(function).expect("the test's function parses");
        check(&function).err().map(|error| error.to_string())
    }

    #[test]
    fn takes_one_or_two_arguments() {
        assert_eq!(message("fn handle(request: Request) -> Response {}"), None);
        assert_eq!(message("pub fn main(event: Event<Value>, context: Context) {}"), None);
    }

    #[test]
    fn an_initialisation_has_no_arguments_and_no_result() {
        let message = |function: &str| {
            let function = syn::parse_str(function).expect("the test's function parses");
            check_init(&function).err().map(|error| error.to_string())
        };
        assert_eq!(message("fn init() {}"), None);
        for (function, expected) in [
            ("async fn f() {}", "not async"),
            ("fn f(a: u8) {}", "takes nothing"),
            ("fn f() -> u8 { 0 }", "returns nothing"),
            ("unsafe fn f() {}", "takes nothing"),
            ("fn f<T>() {}", "takes nothing"),
            ("extern \"C\" fn f() {}", "takes nothing"),
        ] {
            let message = message(function).expect("the signature is refused");
            assert!(message.contains(expected), "{function}: {message}");
        }
    }

    #[test]
    fn says_what_a_handler_is_not() {
        for (function, expected) in [
            ("async fn f(request: Request) {}", "not async"),
            ("unsafe fn f(request: Request) {}", "not unsafe"),
            ("extern \"C\" fn f(request: Request) {}", "plain Rust"),
            ("fn f<T>(request: T) {}", "not generic"),
            ("fn f(&self) {}", "without `self`"),
            ("fn f() {}", "takes the event"),
            ("fn f(a: Request, b: Context, c: u8) {}", "takes the event"),
        ] {
            let message = message(function).expect("the signature is refused");
            assert!(message.contains(expected), "{function}: {message}");
        }
    }
}
