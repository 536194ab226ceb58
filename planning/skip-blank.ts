const NEWLINE = 0x0a;

/** Offset of the first byte at or after `offset` that is neither white space nor part of a SQL comment. */
export function skipBlank(bytes: Buffer, offset: number): number {
  let at = offset;
  while (at < bytes.length) {
    if (isSpace(bytes[at])) at += 1;
    else if (startsWith(bytes, at, '--')) at = endOfLine(bytes, at);
    else if (startsWith(bytes, at, '/*')) at = endOfComment(bytes, at);
    else return at;
  }
  return at;
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || (byte !== undefined && byte >= 0x09 && byte <= 0x0d);
}

function startsWith(bytes: Buffer, at: number, mark: string): boolean {
  return bytes[at] === mark.charCodeAt(0) && bytes[at + 1] === mark.charCodeAt(1);
}

function endOfLine(bytes: Buffer, at: number): number {
  const end = bytes.indexOf(NEWLINE, at);
  return end === -1 ? bytes.length : end;
}

/** Comments nest in SQL. */
function endOfComment(bytes: Buffer, start: number): number {
  let depth = 1;
  let at = start + 2;
  while (depth > 0 && at < bytes.length) {
    if (startsWith(bytes, at, '/*')) depth += 1;
    else if (startsWith(bytes, at, '*/')) depth -= 1;
    else {
      at += 1;
      continue;
    }
    at += 2;
  }
  return at;
}
