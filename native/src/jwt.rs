// SPDX-License-Identifier: Apache-2.0
//! Tokens: their structure and signature. Claims are the caller's business.
//!
//! The algorithm follows from the key, never from the token: a header that names another one is
//! refused before any cryptography runs.

use crate::border;
use base64::prelude::{Engine, BASE64_URL_SAFE_NO_PAD};
use core::ffi::{c_char, c_int};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{crypto, decode_header, Algorithm, DecodingKey, EncodingKey, Header};
use ring::rand::SystemRandom;
use ring::signature::{EcdsaKeyPair, KeyPair, ECDSA_P256_SHA256_FIXED_SIGNING};

const HEADER: &str = r#"{"typ":"JWT","alg":"ES256"}"#;
const PEM_MAX: usize = 512;
const KID_MAX: usize = 128;

/// What stands before the 65 bytes of an uncompressed P-256 point in a SubjectPublicKeyInfo:
/// a sequence of the algorithm (ecPublicKey, prime256v1) and a bit string without unused bits.
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

unsafe fn answer(result: Result<(), String>, error: *mut c_char, error_cap: usize) -> c_int {
    match result {
        Ok(()) => 0,
        Err(message) => {
            border::write_cut(&message, error, error_cap);
            -1
        }
    }
}

fn generate() -> Option<(String, String)> {
    let random = SystemRandom::new();
    let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).ok()?;
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private.as_ref(), &random).ok()?;
    let mut public = SPKI_P256.to_vec();
    public.extend_from_slice(pair.public_key().as_ref());
    let text = |tag: &str, der: &[u8]| {
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&pem::Pem::new(tag, der), config)
    };
    Some((text("PRIVATE KEY", private.as_ref()), text("PUBLIC KEY", &public)))
}

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_keypair_generate(
    private_pem: *mut c_char,
    public_pem: *mut c_char,
) -> c_int {
    match generate() {
        Some((private, public)) if private.len() < PEM_MAX && public.len() < PEM_MAX => {
            border::write_cut(&private, private_pem, PEM_MAX);
            border::write_cut(&public, public_pem, PEM_MAX);
            0
        }
        _ => -1,
    }
}

fn sign(private_pem: &[u8], claims: &[u8]) -> Result<String, Error> {
    let key = EncodingKey::from_ec_pem(private_pem)?;
    let mut token = BASE64_URL_SAFE_NO_PAD.encode(HEADER);
    token.push('.');
    BASE64_URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = crypto::sign(token.as_bytes(), &key, Algorithm::ES256)?;
    token.push('.');
    token.push_str(&signature);
    Ok(token)
}

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_jwt_sign_es256(
    private_pem: *const c_char,
    private_len: usize,
    claims: *const c_char,
    claims_len: usize,
    out: *mut c_char,
    out_cap: usize,
    error: *mut c_char,
    error_cap: usize,
) -> c_int {
    let signed = sign(border::text(private_pem, private_len), border::text(claims, claims_len));
    let result = match signed {
        Ok(token) if token.len() < out_cap => {
            border::write_cut(&token, out, out_cap);
            Ok(())
        }
        Ok(_) => Err("token too long".to_string()),
        Err(fault) => Err(fault.to_string()),
    };
    answer(result, error, error_cap)
}

/// A token taken apart. `signed` is what the signature covers.
struct Parts<'a> {
    header: Header,
    payload: &'a str,
    signed: &'a str,
    signature: &'a str,
}

/// Splits from the right, as jsonwebtoken does: what is too much ends up in the header.
fn split(token: &[u8]) -> Result<Parts<'_>, Error> {
    let invalid = || Error::from(ErrorKind::InvalidToken);
    let token = core::str::from_utf8(token).map_err(|_| invalid())?;
    let (signed, signature) = token.rsplit_once('.').ok_or_else(invalid)?;
    let (_, payload) = signed.rsplit_once('.').ok_or_else(invalid)?;
    Ok(Parts { header: decode_header(token)?, payload, signed, signature })
}

fn alg_code(alg: Algorithm) -> c_int {
    match alg {
        Algorithm::ES256 => 0,
        Algorithm::RS256 => 1,
        Algorithm::HS256 => 2,
        _ => 3,
    }
}

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_jwt_peek(
    token: *const c_char,
    len: usize,
    alg: *mut c_int,
    kid: *mut c_char,
    payload: *mut c_char,
    payload_cap: usize,
    payload_len: *mut usize,
    error: *mut c_char,
    error_cap: usize,
) -> c_int {
    let result = split(border::text(token, len)).and_then(|parts| {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(parts.payload).map_err(Error::from)?;
        Ok((parts.header, bytes))
    });
    let result = match result {
        Ok((header, bytes)) if bytes.len() <= payload_cap => {
            *alg = alg_code(header.alg);
            border::write_cut(header.kid.as_deref().unwrap_or(""), kid, KID_MAX);
            *payload_len = border::write_prefix(&bytes, payload, payload_cap);
            Ok(())
        }
        Ok(_) => Err("token too long".to_string()),
        Err(fault) => Err(fault.to_string()),
    };
    answer(result, error, error_cap)
}

fn verify(token: &[u8], key: &DecodingKey, alg: Algorithm) -> Result<(), Error> {
    let parts = split(token)?;
    if parts.header.alg != alg {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    match crypto::verify(parts.signature, parts.signed.as_bytes(), key, alg)? {
        true => Ok(()),
        false => Err(ErrorKind::InvalidSignature.into()),
    }
}

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_jwt_verify_es256(
    public_pem: *const c_char,
    public_len: usize,
    token: *const c_char,
    len: usize,
    error: *mut c_char,
    error_cap: usize,
) -> c_int {
    let result = DecodingKey::from_ec_pem(border::text(public_pem, public_len))
        .and_then(|key| verify(border::text(token, len), &key, Algorithm::ES256));
    answer(result.map_err(|fault| fault.to_string()), error, error_cap)
}

fn verify_jwk(jwk: &[u8], token: &[u8]) -> Result<(), Error> {
    let jwk: Jwk = serde_json::from_slice(jwk)?;
    let alg = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::OctetKey(_) => Algorithm::HS256,
        _ => return Err(ErrorKind::InvalidAlgorithm.into()),
    };
    verify(token, &DecodingKey::from_jwk(&jwk)?, alg)
}

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_jwt_verify_jwk(
    jwk_json: *const c_char,
    jwk_len: usize,
    token: *const c_char,
    len: usize,
    error: *mut c_char,
    error_cap: usize,
) -> c_int {
    let result = verify_jwk(border::text(jwk_json, jwk_len), border::text(token, len));
    answer(result.map_err(|fault| fault.to_string()), error, error_cap)
}
