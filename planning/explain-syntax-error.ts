/**
 * Sentences for an error of PostgreSQL's parser; what only `psql` understands is called so.
 *
 * @param at offset of the error, in characters
 */
export function explainSyntaxError(
  message: string,
  text: string,
  at: number,
): { what: string; expected: string } {
  const rest = Array.from(text)
    .slice(at, at + 40)
    .join('');
  const command = /^\\\S*/.exec(rest)?.[0];
  if (command !== undefined) {
    return {
      what: `\`${command}\` is a command of psql, not SQL.`,
      expected:
        'Remove it; the engine sends the file to the server as it is. Name further files in the manifest.',
    };
  }
  if (/^:['"{]?[A-Za-z_]/.test(rest)) {
    return {
      what: 'A variable of psql stands here, which nothing replaces.',
      expected: 'Write the value, or read it from a table.',
    };
  }
  if (rest.startsWith('\uFEFF')) {
    return { what: 'The file begins with a byte order mark.', expected: 'Save it as UTF-8 without one.' };
  }
  return { what: `PostgreSQL's parser says: ${message}.`, expected: 'Correct the SQL at this place.' };
}
