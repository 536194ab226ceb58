/** A location in the parse tree, in bytes; null where the statement as a whole is meant. */
export type Finding = number | null;
