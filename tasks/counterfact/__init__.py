"""CounterFact in lm-evaluation-harness: efficacy (ES), paraphrase (PS), neighborhood (NS)."""
