/**
 * The address of a document from its path: parts joined by `/`, Unicode in form NFC; `#` and `>`, which
 * addresses and tree paths use themselves, are percent-encoded.
 */
export function documentAddress(prefix: string, pathParts: readonly string[]): string {
  const parts = prefix === '' ? pathParts : [prefix, ...pathParts];
  return parts.join('/').normalize('NFC').replaceAll('#', '%23').replaceAll('>', '%3E');
}
