#!/bin/sh
# Makes the test certificates again (openssl 3). They are checked in, so that tests need no openssl.
set -eu
cd "$(dirname "$0")"
days=9125 # 25 years

authority() { # file, common name
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days $days -subj "/CN=$2" \
    -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign' \
    -keyout "$1.key.pem" -out "$1.pem"
}

leaf() { # file, common name, authority, extra extensions
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$1.key.pem" -out "$1.csr"
  printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n%b' "$4" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA "$3.pem" -CAkey "$3.key.pem" -days $days -extfile "$1.ext" -out "$1.pem"
  rm "$1.csr" "$1.ext"
}

authority ca 'Signalbox test CA'
authority other-ca 'Signalbox other test CA'
leaf server localhost ca 'extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\n'
leaf wrong-host server.invalid ca 'extendedKeyUsage=serverAuth\nsubjectAltName=DNS:server.invalid\n'
leaf untrusted localhost other-ca 'extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\n'
leaf client 'test client' ca 'extendedKeyUsage=clientAuth\n'
leaf other-client 'other test client' other-ca 'extendedKeyUsage=clientAuth\n'
rm -f ./*.srl other-ca.key.pem ca.key.pem
