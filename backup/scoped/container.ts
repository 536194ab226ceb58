import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { SluiceError } from '../../contracts/error-codes.ts';
import type { CopiedTable, Definition } from './definition.ts';

/**
 * The file of a scoped snapshot: a gzip stream of frames, each one byte of type, four bytes of length (big
 * endian), and so many bytes. In this order: `M` (JSON, once), then for each table `T` (JSON), its rows in
 * COPY text format in any number of `D`, and `E` (JSON); at the end `Z` (JSON). Without `Z` it is cut off.
 */
export type Frame =
  | { readonly type: 'M'; readonly value: Manifest }
  | { readonly type: 'T'; readonly value: CopiedTable }
  | { readonly type: 'D'; readonly rows: Buffer }
  | { readonly type: 'E'; readonly value: TableEnd }
  | { readonly type: 'Z'; readonly value: { readonly tables: number } };

export interface Manifest {
  readonly format: 'sluice scoped-snapshot';
  readonly version: 1;
  readonly database: string;
  readonly serverVersion: string;
  readonly takenAt: string;
  readonly definitions: readonly Definition[];
}

export interface TableEnd {
  readonly rows: number;
  readonly bytes: number;
  /** Of the rows in COPY text format. */
  readonly sha256: string;
}

const HEADER_BYTES = 5;
/** Longer than any frame this program writes; a length above it is not one. */
const MAX_FRAME_BYTES = 1 << 30;

export function encodeFrame(frame: Frame): Buffer {
  const payload = frame.type === 'D' ? frame.rows : Buffer.from(JSON.stringify(frame.value));
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(frame.type, 'latin1');
  header.writeUInt32BE(payload.length, 1);
  return Buffer.concat([header, payload]);
}

/**
 * Reads the frames of a file, one after another, to its end.
 * @throws {SluiceError} `backup_corrupt` when it is cut off or is not such a file
 */
export async function* readFrames(file: string): AsyncGenerator<Frame> {
  const source = createReadStream(file);
  const unzipped = createGunzip();
  source.once('error', (error) => unzipped.destroy(error));
  let pending = Buffer.alloc(0);
  let ended = false;
  try {
    for await (const chunk of source.pipe(unzipped)) {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      for (;;) {
        const frame = takeFrame(pending, file);
        if (frame === null) break;
        pending = pending.subarray(frame.length);
        ended = frame.value.type === 'Z';
        yield frame.value;
      }
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) {
      throw unreadable(file, error.message);
    }
    throw error;
  } finally {
    source.destroy();
  }
  if (!ended || pending.length > 0) throw unreadable(file, 'it is cut off');
}

function takeFrame(bytes: Buffer, file: string): { value: Frame; length: number } | null {
  if (bytes.length < HEADER_BYTES) return null;
  const type = bytes.toString('latin1', 0, 1);
  const size = bytes.readUInt32BE(1);
  if (!'MTDEZ'.includes(type) || size > MAX_FRAME_BYTES)
    throw unreadable(file, 'it has a frame of no known type');
  const length = HEADER_BYTES + size;
  if (bytes.length < length) return null;
  const payload = bytes.subarray(HEADER_BYTES, length);
  if (type === 'D') return { value: { type, rows: Buffer.from(payload) }, length };
  return { value: { type, value: JSON.parse(payload.toString('utf8')) } as Frame, length };
}

export function unreadable(file: string, why: string): SluiceError {
  return new SluiceError('backup_corrupt', {
    what: `The scoped snapshot ${file} is not readable: ${why}.`,
    expected: 'A file as the backup wrote it.',
    safe: 'Nothing was changed; take another backup before anything is.',
  });
}
