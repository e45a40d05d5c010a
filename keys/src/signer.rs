//! Signs with a key handed to it; the only code that holds a private key.
