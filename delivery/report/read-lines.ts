import type { FileHandle } from 'node:fs/promises';

const PIECE_BYTES = 1_048_576;

/** Whole lines that follow each other in a file. */
export interface LinePiece {
  /** Without their line breaks. */
  readonly lines: readonly string[];
  /** Where the next line begins, in bytes. */
  readonly end: number;
}

/** Reads the whole lines between two places of a file, about a megabyte at a time; a line that has no end is left. */
export async function* readLines(file: FileHandle, from: number, to: number): AsyncGenerator<LinePiece> {
  let begun: Buffer[] = [];
  let end = from;
  for (let at = from; at < to; ) {
    const { buffer, bytesRead } = await file.read(
      Buffer.allocUnsafe(Math.min(PIECE_BYTES, to - at)),
      0,
      undefined,
      at,
    );
    if (bytesRead === 0) return;
    at += bytesRead;
    const piece = buffer.subarray(0, bytesRead);
    const last = piece.lastIndexOf(0x0a);
    if (last < 0) {
      begun.push(piece);
      continue;
    }
    const whole = Buffer.concat([...begun, piece.subarray(0, last)]);
    begun = [piece.subarray(last + 1)];
    end += whole.length + 1;
    yield { lines: whole.toString('utf8').split('\n'), end };
  }
}
