/** Why a URL may not stand in the file as the address of a service, or null where it may. It is not repeated. */
export function faultOfServiceUrl(text: string): { what: string; expected: string } | null {
  const expected = 'Use an http:// or https:// URL such as https://service.example/path.';
  if (!/^https?:\/\/\S+$/i.test(text) || !URL.canParse(text))
    return { what: 'The text is no URL of a service.', expected };
  const { username, password, search, hash } = new URL(text);
  if (username !== '' || password !== '')
    return { what: 'The URL holds a user or a password, and this file is no place for one.', expected };
  return search === '' && hash === '' && !/[?#]$/.test(text)
    ? null
    : { what: 'The URL has a query or a fragment.', expected };
}
