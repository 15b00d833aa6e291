/**
 * What is known of cards before anything is measured on them: ranks.json, written by the laboratory (`npm run lab -- --ranks`) with the source
 * of each row. Where nobody forces or tunes, its first row that speaks of a card and a problem says which variant runs; a card that no
 * row knows goes by the variants' own ranks.
 */
import type { Caps } from '../gpu/caps.ts';
import shipped from './ranks.json' with { type: 'json' };

/** The cards of a row. */
export interface RankedCards {
  /** The maker by WebGPU's name, or as the driver's name of the card tells it. */
  readonly vendor: string;
  /** Families of chips by WebGPU's names; default all of the maker's. */
  readonly architectures?: readonly string[] | undefined;
}

/** A choice as tuning has them, for some cards. */
export interface ShippedRank {
  readonly cards: RankedCards;
  readonly op: string;
  readonly where?: Readonly<Record<string, readonly [least: number, most: number] | string | boolean>> | undefined;
  readonly variant: string;
  /** Constants that the variant's text has there, whoever chose it. */
  readonly tiles?: Readonly<Record<string, number>> | undefined;
  /** Where it comes from; not among what is packed. */
  readonly source?: {
    /** The cards whose compilers were asked, or who measured. */
    readonly card: string;
    readonly driver: string;
    readonly figures: string;
    readonly file: string;
  };
}

const RANKS = shipped.ranks as unknown as readonly ShippedRank[];

const known = new WeakMap<Caps, readonly ShippedRank[]>();

/** The rows for a device, in order: none for software. */
export function ranksOf(caps: Caps): readonly ShippedRank[] {
  const found = known.get(caps) ?? (caps.software ? [] : RANKS.filter(({ cards }) => isOf(caps, cards)));
  known.set(caps, found);
  return found;
}

function isOf({ vendor, architecture, device }: Caps, cards: RankedCards): boolean {
  const maker = vendor === cards.vendor || String(device).toLowerCase().startsWith(cards.vendor);
  return maker && (cards.architectures?.includes(architecture) ?? true);
}
