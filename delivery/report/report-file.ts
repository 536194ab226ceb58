import { type FileHandle, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { holdReport } from './hold-report.ts';
import { KeySet } from './key-set.ts';
import { appendAll, openOwnFile, openOwnFileIfThere, syncFolder } from './own-file.ts';
import { readLines } from './read-lines.ts';
import { type ReportLine, readEntry } from './report-entry.ts';
import { ReportFault } from './report-fault.ts';
import { ReportMarkdown } from './report-markdown.ts';

/** What became of an entry; `line` counts from 1 and is null where an earlier delivery wrote it. */
export interface AppendedEntry {
  readonly line: number | null;
}

/**
 * One report: `<name>.jsonl`, the record, with each idempotency key once, and `<name>.md`, made from it.
 *
 * An append takes the lock of the report, reads what others wrote since the last time, cuts what a killed writer left
 * of a line, writes its lines at the end and syncs them. Keys are read once and then kept, so that an append costs the
 * same however long the report is. Another file under the same name, after a rotation for example, is read anew.
 */
export class ReportFile {
  readonly #dir: string;
  readonly #name: string;
  readonly #path: string;
  readonly #lock: string;
  readonly #markdown: ReportMarkdown;
  #inode = -1;
  /** What is known of the record: bytes, lines, and the keys in them. */
  #size = 0;
  #lines = 0;
  #keys = new KeySet();

  constructor(dir: string, name: string) {
    this.#dir = dir;
    this.#name = name;
    this.#path = join(dir, `${name}.jsonl`);
    this.#lock = join(dir, `.${name}.lock`);
    this.#markdown = new ReportMarkdown(join(dir, `${name}.md`), name);
  }

  /**
   * Appends the lines whose keys are new, all or none. They are durable when it returns.
   *
   * @throws ReportFault, or the error of the file system
   */
  append(lines: readonly ReportLine[]): Promise<readonly AppendedEntry[]> {
    return this.#withRecord(async (record) => {
      const before = this.#lines;
      const fresh = new Map<string, ReportLine>();
      const appended = lines.map((line): AppendedEntry => {
        if (fresh.has(line.key) || this.#keys.has(line.key)) return { line: null };
        fresh.set(line.key, line);
        return { line: before + fresh.size };
      });
      if (fresh.size > 0) await this.#write(record, [...fresh.values()]);
      return appended;
    });
  }

  /** Compares all of the Markdown with the record and puts it right. */
  rebuildMarkdown(): Promise<void> {
    return this.#withRecord(async (record) => {
      this.#markdown.doubt();
      await this.#markdown.follow(record, this.#size);
    });
  }

  /**
   * Reads the record, without an entry to write.
   *
   * @throws ReportFault, or the error of the file system
   */
  check(): Promise<void> {
    return this.#withRecord(async () => undefined);
  }

  /**
   * Whether the record has the entry of a key. Takes the lock and opens the record as an append does, and changes neither
   * the record nor the Markdown. The folder is there.
   *
   * @throws ReportFault, or the error of the file system
   */
  holds(key: string): Promise<boolean> {
    return holdReport(this.#lock, async () => {
      const record = await openOwnFileIfThere(this.#path);
      if (record === null) return false;
      try {
        const size = await this.#readOn(record);
        if (this.#keys.has(key)) return true;
        return readEntry(await this.#readTail(record, size))?.idempotency_key === key;
      } finally {
        await record.close();
      }
    });
  }

  async #withRecord<Result>(work: (record: FileHandle) => Promise<Result>): Promise<Result> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    return holdReport(this.#lock, async () => {
      const record = await openOwnFile(this.#path);
      try {
        await this.#catchUp(record);
        const result = await work(record);
        // The record has the entries; a Markdown that cannot be written now is written with a later one.
        await this.#markdown.follow(record, this.#size).catch(() => undefined);
        return result;
      } finally {
        await record.close();
      }
    });
  }

  async #catchUp(record: FileHandle): Promise<void> {
    const size = await this.#readOn(record);
    if (size === 0) await syncFolder(this.#dir);
    if (size > this.#size) await this.#mendTail(record, size);
  }

  /** Reads the whole lines that were written since the last time; answers the size of the record. */
  async #readOn(record: FileHandle): Promise<number> {
    const { ino, size } = await record.stat();
    if (ino !== this.#inode || size < this.#size) this.#forget();
    this.#inode = ino;
    for await (const { lines, end } of readLines(record, this.#size, size)) {
      const keys = lines.map((line, index) => this.#keyOf(line, this.#lines + index + 1));
      for (const key of keys) this.#keys.add(key);
      this.#lines += lines.length;
      this.#size = end;
    }
    return size;
  }

  #keyOf(line: string, place: number): string {
    const entry = readEntry(line);
    if (entry !== null) return entry.idempotency_key;
    throw new ReportFault(
      'report_damaged',
      `Line ${place} of ${this.#name}.jsonl is no entry, and there are lines after it; put it right or move the file away.`,
    );
  }

  /** The end of a killed write: an entry that only lacks its line break gets it, anything less is cut. */
  async #mendTail(record: FileHandle, size: number): Promise<void> {
    const entry = readEntry(await this.#readTail(record, size));
    if (entry === null) return record.truncate(this.#size);
    await appendAll(record, Buffer.from('\n'));
    this.#keys.add(entry.idempotency_key);
    this.#lines += 1;
    this.#size = size + 1;
  }

  /** What comes after the last whole line. */
  async #readTail(record: FileHandle, size: number): Promise<string> {
    const tail = Buffer.alloc(size - this.#size);
    await record.read(tail, 0, tail.length, this.#size);
    return tail.toString('utf8');
  }

  async #write(record: FileHandle, lines: readonly ReportLine[]): Promise<void> {
    const bytes = Buffer.concat(lines.map((line) => line.bytes));
    try {
      await appendAll(record, bytes);
      await record.datasync();
    } catch (error) {
      // Where this fails too, the next append finds the remains and cuts them.
      await record.truncate(this.#size).catch(() => undefined);
      throw error;
    }
    for (const { key } of lines) this.#keys.add(key);
    this.#lines += lines.length;
    this.#size += bytes.length;
  }

  #forget(): void {
    this.#size = 0;
    this.#lines = 0;
    this.#keys = new KeySet();
    this.#markdown.doubt();
  }
}
