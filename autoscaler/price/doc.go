// Package price knows what instance types cost, well enough to order groups by
// it: on-demand list prices of Linux instances, from a small built-in table of
// one region or from a file of the operator's. It asks nobody and knows nothing
// of spot prices, discounts or savings plans; where those decide, the operator
// says a group's price with a tag.
package price
