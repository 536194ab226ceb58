import type { FileHandle } from 'node:fs/promises';
import { appendAll, openOwnFile } from './own-file.ts';
import { readLines } from './read-lines.ts';
import { renderReportLine, reportHead } from './render-report-line.ts';

/**
 * The Markdown of a report. It follows the record and is made of nothing else: what is there is compared with what
 * should be there, cut where it differs, and written on from there. So it heals from whatever befell it.
 */
export class ReportMarkdown {
  readonly #path: string;
  readonly #name: string;
  /** Up to here it is as it should be, in bytes; and the place in the record that belongs to it. */
  #size = 0;
  #recordSize = 0;
  #inode = -1;

  constructor(path: string, name: string) {
    this.#path = path;
    this.#name = name;
  }

  /** Trusts nothing of it any more: the next time it is compared from its beginning. */
  doubt(): void {
    this.#size = 0;
    this.#recordSize = 0;
  }

  /** Brings it up to this size of the record, which ends at a line break. */
  async follow(record: FileHandle, recordSize: number): Promise<void> {
    const file = await openOwnFile(this.#path);
    try {
      const { ino, size } = await file.stat();
      if (ino !== this.#inode || size < this.#size) this.doubt();
      this.#inode = ino;
      let there = size;
      if (this.#size === 0) there = await this.#put(file, reportHead(this.#name), there);
      for await (const { lines, end } of readLines(record, this.#recordSize, recordSize)) {
        there = await this.#put(file, lines.map(renderReportLine).join(''), there);
        this.#recordSize = end;
      }
      if (there > this.#size) await file.truncate(this.#size);
    } finally {
      await file.close();
    }
  }

  /** Makes sure that the text comes next; returns the size of the file. */
  async #put(file: FileHandle, text: string, there: number): Promise<number> {
    const bytes = Buffer.from(text);
    if (there > this.#size) {
      const found = await file.read(Buffer.allocUnsafe(bytes.length), 0, bytes.length, this.#size);
      if (found.bytesRead === bytes.length && found.buffer.equals(bytes)) {
        this.#size += bytes.length;
        return there;
      }
      await file.truncate(this.#size);
    }
    await appendAll(file, bytes);
    this.#size += bytes.length;
    return this.#size;
  }
}
