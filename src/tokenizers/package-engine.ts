/** The splitting and joining of `@huggingface/tokenizers`, behind a face that deals in ids and throws typed errors. */
import { Tokenizer } from '@huggingface/tokenizers';
import { InputError } from '../core/errors.ts';
import { withExactSteps } from './exact-steps.ts';
import type { JsonObject, TokenizerFiles } from './files.ts';
import { isObject } from './files.ts';
import { addedToken } from './special-tokens.ts';
import { TokenSplitter } from './token-splitter.ts';

/** A tokenizer.json, read or made up from other files. */
export class PackageEngine {
  private readonly whole: Tokenizer;
  /** Knows no added token: reads special tokens in a text as characters. */
  private plain: Tokenizer | undefined;
  private readonly specialIds: ReadonlySet<number>;
  private readonly splitter: TokenSplitter;
  private readonly build: (added: readonly JsonObject[]) => Tokenizer;

  /**
   * @param json contents of a tokenizer.json
   * @param files the folder, for messages
   * @param name the file that `json` comes from
   * @throws InputError where the package cannot take it
   */
  constructor(json: JsonObject, files: TokenizerFiles, name: string) {
    this.build = added => {
      try {
        const complete = { normalizer: null, pre_tokenizer: null, decoder: null, ...json, post_processor: null };
        const tokenizer = new Tokenizer({ ...complete, added_tokens: added }, {});
        return withExactSteps(tokenizer, json, `${files.label}/${name}`);
      } catch (cause) {
        if (cause instanceof InputError) throw cause;
        throw files.damaged(name, 'no tokenizer that can be built', { cause, received: messageOf(cause) });
      }
    };
    const listed = json['added_tokens'];
    const added = Array.isArray(listed) ? listed.filter(isObject) : [];
    // White space beside tokens is taken before the package sees the text: its own idea of white space differs.
    this.whole = this.build(added.map(token => (isEager(token) ? { ...token, lstrip: false, rstrip: false } : token)));
    this.splitter = new TokenSplitter(added.filter(isEager).flatMap(token => addedToken(token, false) ?? []));
    this.specialIds = new Set(
      [...this.whole.get_added_tokens_decoder().values()].filter(token => token.special).map(token => token.id),
    );
  }

  /** Ids of a text, without marks. */
  textIds(text: string, splitSpecialTokens: boolean): number[] {
    if (!splitSpecialTokens) return this.whole.encode(this.splitter.split(text).join('')).ids;
    this.plain ??= this.build([]);
    return this.plain.encode(text).ids;
  }

  /** Text of the ids that the vocabulary knows. */
  join(ids: readonly number[], skipSpecialTokens: boolean): string {
    const known = ids.filter(
      id => this.whole.id_to_token(id) !== undefined && !(skipSpecialTokens && this.specialIds.has(id)),
    );
    if (known.length === 0) return '';
    return this.whole.decode(known, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  }

  /** Tokens of a text as the vocabulary spells them, without marks. */
  tokens(text: string): string[] {
    return this.whole.tokenize(text);
  }

  tokenId(token: string): number | undefined {
    return this.whole.token_to_id(token);
  }
}

/** Whether a token takes white space along, in the text as it was given. */
function isEager(token: JsonObject): boolean {
  return token['normalized'] !== true && (token['lstrip'] === true || token['rstrip'] === true);
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
