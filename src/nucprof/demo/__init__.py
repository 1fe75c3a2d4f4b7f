"""The synthetic co-culture plate: small, seeded, with known truth."""
