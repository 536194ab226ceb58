import { createHash } from 'node:crypto';

const WORDS = 4;
const SMALLEST = 1_024;

/**
 * A set of texts that keeps 128 bits of the SHA-256 of each: 32 to 64 bytes a text however long, so that a report of a
 * million entries costs tens of megabytes. Two texts that are held for one would take a collision of the hash.
 */
export class KeySet {
  #table = new Uint32Array(SMALLEST * WORDS);
  #slots = SMALLEST;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(text: string): boolean {
    const found = digest(text);
    return !this.#isFree(this.#find(found));
  }

  add(text: string): void {
    if (this.#size * 2 >= this.#slots) this.#grow();
    if (this.#put(digest(text))) this.#size += 1;
  }

  #put(words: Uint32Array): boolean {
    const slot = this.#find(words);
    if (!this.#isFree(slot)) return false;
    this.#table.set(words, slot * WORDS);
    return true;
  }

  /** The slot that holds these words, or the free one where they belong. */
  #find(words: Uint32Array): number {
    let slot = (words[0] ?? 0) & (this.#slots - 1);
    while (!this.#isFree(slot) && !this.#holds(slot, words)) slot = (slot + 1) & (this.#slots - 1);
    return slot;
  }

  #holds(slot: number, words: Uint32Array): boolean {
    const at = slot * WORDS;
    return words.every((word, index) => this.#table[at + index] === word);
  }

  /** The last word of an entry is never 0. */
  #isFree(slot: number): boolean {
    return this.#table[slot * WORDS + WORDS - 1] === 0;
  }

  #grow(): void {
    const before = this.#table;
    this.#slots *= 2;
    this.#table = new Uint32Array(this.#slots * WORDS);
    for (let at = 0; at < before.length; at += WORDS) {
      if (before[at + WORDS - 1] !== 0) this.#put(before.subarray(at, at + WORDS));
    }
  }
}

function digest(text: string): Uint32Array {
  const hash = createHash('sha256').update(text).digest();
  const words = Uint32Array.from({ length: WORDS }, (_, index) => hash.readUInt32LE(index * 4));
  words[WORDS - 1] = ((words[WORDS - 1] ?? 0) | 1) >>> 0;
  return words;
}
