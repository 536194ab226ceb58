/** A place in a text; both count from 1, the column in characters (code points). */
export interface SourcePosition {
  readonly line: number;
  readonly column: number;
}

/** Place of an offset counted in UTF-8 bytes, as PostgreSQL's parse tree counts. */
export function positionOfByte(bytes: Buffer, offset: number): SourcePosition {
  return positionAfter(bytes.subarray(0, offset).toString('utf8'));
}

/** Place of an offset counted in characters, as PostgreSQL's error cursor counts. */
export function positionOfCharacter(text: string, offset: number): SourcePosition {
  let units = 0;
  let characters = 0;
  for (const character of text) {
    if (characters === offset) break;
    characters += 1;
    units += character.length;
  }
  return positionAfter(text.slice(0, units));
}

/** Place of an offset counted in UTF-16 units, as JavaScript counts. */
export function positionOfUnit(text: string, offset: number): SourcePosition {
  return positionAfter(text.slice(0, offset));
}

function positionAfter(before: string): SourcePosition {
  const lastBreak = before.lastIndexOf('\n');
  let line = 1;
  for (let at = before.indexOf('\n'); at !== -1; at = before.indexOf('\n', at + 1)) line += 1;
  return { line, column: Array.from(before.slice(lastBreak + 1)).length + 1 };
}
