/**
 * The one text of a JSON value (RFC 8785 for what plans are made of): object keys sorted by UTF-16 code unit,
 * no white space, numbers as ECMAScript prints them. Properties that are `undefined` are left out.
 *
 * @throws TypeError for what JSON cannot carry unchanged: `undefined` elsewhere, functions, bigints, NaN and
 * the infinities, text with a lone surrogate, and objects that are neither plain nor an array.
 */
export function canonicalJson(value: unknown): string {
  return write(value, '$');
}

function write(value: unknown, at: string): string {
  switch (typeof value) {
    case 'boolean':
      return String(value);
    case 'number':
      if (!Number.isFinite(value)) throw new TypeError(`${at}: ${value} is not a JSON number`);
      return JSON.stringify(value);
    case 'string':
      return writeString(value, at);
    case 'object':
      return writeObject(value, at);
    default:
      throw new TypeError(`${at}: a ${typeof value} is not a JSON value`);
  }
}

function writeString(value: string, at: string): string {
  if (/\p{Surrogate}/u.test(value)) throw new TypeError(`${at}: text with a lone surrogate is not JSON`);
  return JSON.stringify(value);
}

function writeObject(value: object | null, at: string): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) {
    return `[${Array.from(value, (item, index) => write(item, `${at}[${index}]`)).join(',')}]`;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new TypeError(`${at}: only plain objects and arrays are JSON`);
  }
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${writeString(key, at)}:${write(member, `${at}.${key}`)}`);
  return `{${members.join(',')}}`;
}
