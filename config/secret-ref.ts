/** Where a secret is to be had; never the secret itself. */
export type SecretRef =
  | { readonly kind: 'env'; readonly name: string }
  /** Absolute path; the file holds the secret and nothing else. */
  | { readonly kind: 'file'; readonly path: string }
  /** Program and arguments, run without a shell; it prints the secret. */
  | { readonly kind: 'command'; readonly argv: readonly [string, ...string[]]; readonly cwd: string };
