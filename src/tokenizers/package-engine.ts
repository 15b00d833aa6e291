/** The splitting and joining of `@huggingface/tokenizers`, behind a face that deals in ids and throws typed errors. */
import { Tokenizer } from '@huggingface/tokenizers';
import type { JsonObject, TokenizerFiles } from './files.ts';
import { withExactNormalizers } from './normalizers.ts';

/** A tokenizer.json, read or made up from other files. */
export class PackageEngine {
  private readonly whole: Tokenizer;
  /** Knows no added token: reads special tokens in a text as characters. */
  private plain: Tokenizer | undefined;
  private readonly specialIds: ReadonlySet<number>;
  private readonly build: (withAdded: boolean) => Tokenizer;

  /**
   * @param json contents of a tokenizer.json
   * @param files the folder, for messages
   * @param name the file that `json` comes from
   * @throws InputError where the package cannot take it
   */
  constructor(json: JsonObject, files: TokenizerFiles, name: string) {
    this.build = withAdded => {
      const added = withAdded ? json['added_tokens'] : [];
      try {
        const complete = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, ...json };
        const tokenizer = new Tokenizer({ ...complete, added_tokens: added ?? [] }, {});
        return withExactNormalizers(tokenizer, `${files.label}/${name}`);
      } catch (cause) {
        throw files.damaged(name, 'no tokenizer that can be built', { cause, received: messageOf(cause) });
      }
    };
    this.whole = this.build(true);
    this.specialIds = new Set(
      [...this.whole.get_added_tokens_decoder().values()].filter(token => token.special).map(token => token.id),
    );
  }

  /** Ids of a text, without the marks of the post-processor. */
  textIds(text: string, splitSpecialTokens: boolean): number[] {
    if (splitSpecialTokens) this.plain ??= this.build(false);
    const tokenizer = (splitSpecialTokens ? this.plain : undefined) ?? this.whole;
    return tokenizer.encode(text, { add_special_tokens: false }).ids;
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

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
