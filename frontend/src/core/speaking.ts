/** Fetches the catalogue of the page's language before anything is said. */
import { speak } from "./language";

type Catalogue = Readonly<Record<string, string>>;

const CATALOGUES: Record<string, () => Promise<{ default: Catalogue }>> = {
  de: () => import("../languages/de"),
};

/** English needs none: its texts are the keys. */
export async function speakIn(language: string | undefined): Promise<void> {
  const fetchCatalogue = CATALOGUES[language ?? ""];
  if (fetchCatalogue) speak((await fetchCatalogue()).default);
}
