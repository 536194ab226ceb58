import { defineSearchAttributeKey } from '@temporalio/common';

/** Typed keys of the search attributes in `contracts/names.ts`. */
export const SEARCH_ATTRIBUTE_KEYS = {
  SluiceMacro: defineSearchAttributeKey('SluiceMacro', 'KEYWORD'),
  SluiceTarget: defineSearchAttributeKey('SluiceTarget', 'KEYWORD'),
  SluicePhase: defineSearchAttributeKey('SluicePhase', 'KEYWORD'),
  SluiceOutcome: defineSearchAttributeKey('SluiceOutcome', 'KEYWORD'),
};
